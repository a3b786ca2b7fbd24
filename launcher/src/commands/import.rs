//! `lcsl import`: weights from elsewhere as a run that was trained, with which everything can be done that can be done
//! with a run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::train;
use super::with_training::{self, Asked};
use crate::fault::Fault;

/// What is imported, beside the flags of `lcsl train`.
#[derive(Debug, Args)]
pub struct Import {
    /// Weights as safetensors, under the names of PyTorch, such as torchvision's
    #[arg(value_name = "FILE")]
    weights: PathBuf,
    /// Directory of the new run
    #[arg(value_name = "RUN_DIR")]
    to: PathBuf,
    /// The network that they are of
    #[arg(long, value_name = "NAME", help_heading = "Import")]
    model: String,
}

const ABOUT: &str = "Make a run of weights from elsewhere: measured on a dataset's test images, and nothing trained";

/// `lcsl import` as a command: its own flags, and those of `lcsl train` given as `train`.
pub fn command(train: &clap::Command) -> clap::Command {
    with_training::command::<Import>(
        ("import", ABOUT),
        train,
        &["epochs", "refit", "init", "run_dir"],
    )
}

/// Runs `lcsl import` with the arguments behind that word, and returns the exit code.
pub fn run(arguments: &[OsString]) -> Result<u8, Fault> {
    let (asked, theirs) = match with_training::parse::<Import>(command, arguments)? {
        Asked::For(asked, theirs) => (asked, theirs),
        Asked::Answered(code) => return Ok(code),
    };
    with_training::refuse("the weights cannot be imported like that", &FIXED, &theirs)?;
    train::run(&flags(&asked, &theirs))
}

/// What an import has to say itself.
const FIXED: [(&str, &str); 4] = [
    ("train.epochs", "an import trains nothing"),
    ("refit.method", "an import trains nothing; `lcsl posthoc` does, after it"),
    ("model.init", "FILE are the weights"),
    ("run.run_dir", "RUN_DIR is the directory"),
];

/// The flags of `lcsl train` for it: no step, and the classifier as it is. What is `theirs` may say otherwise of the
/// last ones.
fn flags(asked: &Import, theirs: &[OsString]) -> Vec<OsString> {
    let mut flags = vec![
        with_training::flag("--init=", &asked.weights),
        with_training::flag("--run_dir=", &asked.to),
        with_training::flag("--model=", &asked.model),
    ];
    let own = ["--epochs=0", "--refit=none", "--method=ce", "--set=evaluation.tau_norm=0"];
    flags.extend(own.map(OsString::from));
    flags.extend_from_slice(theirs);
    flags
}
