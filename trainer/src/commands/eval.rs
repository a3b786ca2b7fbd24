//! `lcsl-rank eval`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use lcsl_run_dir::RunDir;
use lcsl_run_dir::exit::{BUG, USAGE};
use lcsl_trainer::engine::inspect::{self, Question, Split};
use lcsl_trainer::engine::{failure, run};

use super::refusal::{explain, refuse};
use super::start::prepare;

/// Arguments of `lcsl-rank eval`.
#[derive(Args)]
pub(crate) struct Eval {
    /// Directory of the run.
    run_dir: PathBuf,
    /// Which images.
    #[arg(long, value_enum, default_value = "test")]
    split: SplitName,
    /// Average logits over the image and its mirror image.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    tta: bool,
    /// Normalise the classifier's rows with this exponent first.
    #[arg(long)]
    tau_norm: Option<f64>,
    /// Write what the model says of each image to this file, as CSV.
    #[arg(long)]
    predictions: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitName {
    Test,
    Val,
}

/// Measures, and returns the exit code.
pub(crate) fn run(asked: Eval) -> ExitCode {
    let run_dir = &RunDir::at(asked.run_dir);
    let question = Question {
        split: match asked.split {
            SplitName::Test => Split::Test,
            SplitName::Val => Split::Validation,
        },
        mirrored: asked.tta,
        tau: asked.tau_norm,
        predictions: asked.predictions.as_deref(),
    };
    let config = match prepare(run_dir) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let device = match run::device(&config, 0) {
        Ok(device) => device,
        Err(error) => return refuse(&error, failure::of_training(&error).hint, USAGE),
    };
    match inspect::eval(run_dir, &config, device, question) {
        Ok(figures) => match serde_json::to_string_pretty(&figures) {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => refuse(&error, None, BUG),
        },
        Err(error) => explain(&error),
    }
}
