//! `lcsl-rank eval`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use lcsl_collective::CollectiveError;
use lcsl_collective::control::{Failure, FromRank};
use lcsl_config::Devices;
use lcsl_run_dir::RunDir;
use lcsl_run_dir::exit::{BUG, DONE, RANK_FAILED, USAGE};
use lcsl_trainer::engine::evaluation::eval::{self, EvalOptions, EvalSplit};
use lcsl_trainer::engine::evaluation::evaluate::EvaluateError;
use lcsl_trainer::engine::evaluation::saved_model::SavedModelError;
use lcsl_trainer::engine::run::{device, failure};
use lcsl_trainer::last_words;

use super::control::under_control;
use super::refusal::{fail, refuse, refuse_start};
use super::start::{agree_to_begin, join_world, read};

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
    /// Measure on so many processes, which were started beside this one.
    #[arg(long, default_value_t = 1)]
    nproc: usize,
    /// Devices of each host, whatever the run was trained on.
    #[arg(long)]
    gpu: Option<Devices>,
    /// libtorch's threads.
    #[arg(long)]
    threads: Option<usize>,
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
    let mut config = match read(run_dir) {
        Ok(config) => config,
        Err(code) => return code,
    };
    config.run.nproc = asked.nproc;
    config.run.gpu = asked.gpu.unwrap_or(config.run.gpu);
    config.run.threads = asked.threads.unwrap_or(config.run.threads);
    device::set_up_libtorch(&config);
    let (world, local_rank) = match join_world(&config) {
        Ok(joined) => joined,
        Err(error) => return refuse_start(&error, error.hint().map(str::to_owned), USAGE),
    };
    let device = device::of_rank(&config, local_rank);
    let name = device.as_ref().map_or("none".to_owned(), |it| device::name(&config, *it));
    let (mut world, control) = match under_control(world, name) {
        Ok(joined) => joined,
        Err(error) => return refuse(&error, None, RANK_FAILED),
    };
    let opened = device
        .map_err(|error| failure::of_training(&error))
        .and_then(|device| eval::open(run_dir, &config, device).map_err(|error| failed(&error)));
    let measured =
        agree_to_begin(world.as_mut(), opened, |opened| opened.data_module(), &mut |_| ())
            .and_then(|opened| {
                let heartbeat = control.heartbeat();
                let measured = opened.measure(world.as_mut(), &config, options, heartbeat);
                measured.map_err(|error| failed(&error))
            })
            .and_then(|figures| {
                serde_json::to_string_pretty(&figures).map_err(|error| bug(&error))
            });
    let answered = measured.and_then(|text| {
        if world.rank() == 0 {
            println!("{text}");
        }
        world.leave().map_err(|error| lost(&error))
    });
    last_words::no_more();
    match answered {
        Ok(()) => {
            control.close(&FromRank::Finished { exit_code: DONE.into() });
            ExitCode::SUCCESS
        }
        // The launcher says it, with the name of this rank.
        Err(failure) if control.descriptor().is_some() => {
            let code = failure.exit_code as u8;
            control.close(&FromRank::Failed(failure));
            ExitCode::from(code)
        }
        Err(failure) => fail(&failure),
    }
}

fn bug(error: &serde_json::Error) -> Failure {
    Failure { what: error.to_string(), hint: None, exit_code: BUG.into(), bystander: false }
}

fn lost(error: &CollectiveError) -> Failure {
    Failure { what: error.to_string(), hint: None, exit_code: RANK_FAILED.into(), bystander: true }
}

fn failed(error: &SavedModelError) -> Failure {
    let (code, hint) = failure::of_saved_model(error);
    let is_of_others = matches!(error, SavedModelError::Evaluate(EvaluateError::Collective(_)));
    Failure { what: error.to_string(), hint, exit_code: code.into(), bystander: is_of_others }
}
