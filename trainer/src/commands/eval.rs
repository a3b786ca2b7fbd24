//! `lcsl-rank eval`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use lcsl_run_dir::RunDir;
use lcsl_run_dir::exit::{BUG, USAGE};
use lcsl_trainer::engine::evaluation::eval::{self, EvalOptions, EvalSplit};
use lcsl_trainer::engine::run::{build, failure};

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
    let options = EvalOptions {
        split: match asked.split {
            SplitName::Test => EvalSplit::Test,
            SplitName::Val => EvalSplit::Validation,
        },
        mirrored: asked.tta,
        tau: asked.tau_norm,
        predictions: asked.predictions.as_deref(),
    };
    let config = match prepare(run_dir) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let device = match build::device(&config, 0) {
        Ok(device) => device,
        Err(error) => return refuse(&error, failure::of_training(&error).hint, USAGE),
    };
    match eval::eval(run_dir, &config, device, options) {
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
