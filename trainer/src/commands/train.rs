//! `lcsl-rank train`.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use lcsl_collective::CollectiveError;
use lcsl_collective::control::FromRank;
use lcsl_run_dir::RunDir;
use lcsl_run_dir::exit::{DONE, RANK_FAILED, STOPPED, USAGE};
use lcsl_trainer::data_module;
use lcsl_trainer::engine::run::build::Run;
use lcsl_trainer::engine::run::device;
use lcsl_trainer::engine::run::error::TrainError;
use lcsl_trainer::engine::run::failure;
use lcsl_trainer::engine::run::train::Ending;
use lcsl_trainer::last_words;
use lcsl_trainer::run_dir::durable::{DiskContext, DiskError};

use super::control::under_control;
use super::refusal::{refuse, refuse_start};
use super::staging::stage;
use super::start::{agree_to_begin, join_world, prepare};

/// Arguments of `lcsl-rank train`.
#[derive(Args)]
pub(crate) struct Train {
    /// Directory of the run.
    run_dir: PathBuf,
}

/// Trains, and returns the exit code.
pub(crate) fn run(asked: Train) -> ExitCode {
    let run_dir = &RunDir::at(asked.run_dir);
    let mut config = match prepare(run_dir) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let (world, local_rank) = match join_world(&config) {
        Ok(joined) => joined,
        Err(error) => return refuse_start(&error, hint_of_start(&error), USAGE),
    };
    // Found before the launcher hears of this rank, so that it hears of the device that is used; that
    // there is none is said afterwards, as any other failure.
    let device = device::of_rank(&config, local_rank);
    let name = device.as_ref().map_or("none".to_owned(), |it| device::name(&config, *it));
    let (mut world, control) = match under_control(world, name) {
        Ok(joined) => joined,
        Err(error) => return refuse(&error, None, RANK_FAILED),
    };
    let begun = log_to_file(run_dir, world.rank())
        .map_err(TrainError::from)
        .and(device)
        .map_err(|error| failure::of_training(&error));
    let mut say = |text: String| {
        tracing::warn!("{text}");
        control.send(&FromRank::Notice { text });
    };
    let trained = stage(&mut config, world.as_mut(), local_rank, &control)
        .and_then(|()| {
            let opened = begun.and_then(|device| {
                let data_module = data_module::open(&config).map_err(TrainError::from);
                Ok((device, data_module.map_err(|error| failure::of_training(&error))?))
            });
            agree_to_begin(world.as_mut(), opened, |(_, data_module)| data_module, &mut say)
        })
        .and_then(|(device, data_module)| {
            Run::on_data(&config, run_dir, data_module, world, control.clone(), device)
                .map_err(|error| failure::of_training(&error))
        })
        .and_then(|mut run| {
            run.faults = crate::FAULTS;
            let ended = run.train().and_then(|ending| {
                if ending == Ending::Stopped {
                    // Said before the ranks part, which they cannot do any more where a scheduler has already ended
                    // the daemons of MPI. The launcher waits for the word of rank 0, which has saved the checkpoint.
                    last_words::no_more();
                    control.close(&FromRank::Finished { exit_code: STOPPED.into() });
                }
                let parted = run.context.leave();
                if ending == Ending::Finished {
                    parted?;
                }
                Ok(ending)
            });
            ended.map_err(|error| failure::of_training(&error))
        });
    let (exit_code, last_word) = match trained {
        Ok(Ending::Finished) => (DONE.into(), FromRank::Finished { exit_code: DONE.into() }),
        Ok(Ending::Stopped) => return ExitCode::from(STOPPED),
        Err(failure) => {
            tracing::error!("{}", failure.what);
            (failure.exit_code, FromRank::Failed(failure))
        }
    };
    last_words::no_more();
    control.close(&last_word);
    ExitCode::from(exit_code as u8)
}

fn hint_of_start(error: &CollectiveError) -> Option<String> {
    let hint = "install the same program on every host, and start it with the same configuration";
    let disagreement = matches!(error, CollectiveError::Disagreement { .. }).then_some(hint);
    disagreement.or(error.hint()).map(str::to_owned)
}

/// From here on everything that this process prints goes to its log.
fn log_to_file(run_dir: &RunDir, rank: usize) -> Result<(), DiskError> {
    let path = run_dir.log(rank);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).or_disk("create", folder)?;
    }
    let log = OpenOptions::new().create(true).append(true).open(&path).or_disk("open", &path)?;
    let redirected =
        rustix::stdio::dup2_stdout(&log).and_then(|()| rustix::stdio::dup2_stderr(&log));
    redirected.map_err(std::io::Error::from).or_disk("print to", &path)
}
