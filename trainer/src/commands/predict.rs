//! `lcsl-rank predict`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use lcsl_config::Devices;
use lcsl_run_dir::RunDir;
use lcsl_run_dir::exit::BUG;
use lcsl_trainer::engine::evaluation::predict::{PredictOptions, predict};
use lcsl_trainer::engine::run::{device, failure};

use super::refusal::{explain, fail, refuse};
use super::start::read;

/// Arguments of `lcsl-rank predict`.
#[derive(Args)]
pub(crate) struct Predict {
    /// Directory of the run.
    run_dir: PathBuf,
    /// How many classes of each picture.
    #[arg(long)]
    top: usize,
    /// Average logits over the picture and its mirror image.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    tta: bool,
    /// Normalise the classifier's rows with this exponent first.
    #[arg(long)]
    tau_norm: Option<f64>,
    /// Divide logits by this, above 0.
    #[arg(long)]
    temperature: Option<f64>,
    /// The device, whatever the run was trained on.
    #[arg(long)]
    gpu: Devices,
    /// libtorch's threads.
    #[arg(long)]
    threads: usize,
    /// Pictures, and folders of them.
    #[arg(required = true, last = true)]
    pictures: Vec<PathBuf>,
}

/// Predicts, and returns the exit code.
pub(crate) fn run(asked: Predict) -> ExitCode {
    let run_dir = &RunDir::at(asked.run_dir);
    let mut config = match read(run_dir) {
        Ok(config) => config,
        Err(code) => return code,
    };
    config.run.gpu = asked.gpu;
    config.run.threads = asked.threads;
    device::set_up_libtorch(&config);
    let device = match device::of_rank(&config, 0) {
        Ok(device) => device,
        Err(error) => return fail(&failure::of_training(&error)),
    };
    let Predict { top, tta: mirrored, tau_norm: tau, temperature, .. } = asked;
    let options = PredictOptions { top, mirrored, tau, temperature };
    let predicted = match predict(run_dir, &config, device, &asked.pictures, options) {
        Ok(predicted) => predicted,
        Err(error) => return explain(&error),
    };
    match serde_json::to_string(&predicted) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error, None, BUG),
    }
}
