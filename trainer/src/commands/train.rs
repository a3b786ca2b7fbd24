//! `lcsl-rank train`.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use lcsl_collective::control::{ADDRESS_VARIABLE, Control, ControlError, FromRank, Parting};
use lcsl_collective::{CollectiveError, Communicator, Traced};
use lcsl_run_dir::RunDir;
use lcsl_run_dir::exit::{DONE, RANK_FAILED, STOPPED, USAGE};
use lcsl_trainer::data_module;
use lcsl_trainer::engine::run::build::{self, Run};
use lcsl_trainer::engine::run::error::TrainError;
use lcsl_trainer::engine::run::failure;
use lcsl_trainer::engine::run::train::Ending;
use lcsl_trainer::last_words;
use lcsl_trainer::run_dir::durable::{DiskContext, DiskError};

use super::refusal::{refuse, refuse_start};
use super::staging::stage;
use super::start::{agree_to_begin, hello, join_world, prepare};
use crate::panics;

/// Arguments of `lcsl-rank train`.
#[derive(Args)]
pub(crate) struct Train {
    /// Directory of the run.
    run_dir: PathBuf,
}

/// How long a rank outlives its launcher: enough for a checkpoint's rename, too short to be in
/// anyone's way.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// Trains, and returns the exit code.
pub(crate) fn run(asked: Train) -> ExitCode {
    let run_dir = &RunDir::at(asked.run_dir);
    let mut config = match prepare(run_dir) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let (mut world, local_rank) = match join_world(&config) {
        Ok(joined) => joined,
        Err(error) => return refuse_start(&error, hint_of_start(&error), USAGE),
    };
    // Found before the launcher hears of this rank, so that it hears of the device that is used; that
    // there is none is said afterwards, as any other failure.
    let device = build::device(&config, local_rank);
    let name = device.as_ref().map_or("none".to_owned(), |it| build::device_name(&config, *it));
    let control = match connect(world.as_ref(), name) {
        Ok(control) => control,
        Err(error) => return refuse(&error, None, RANK_FAILED),
    };
    if config.run.nproc > 1 {
        world = Box::new(Traced::new(world, control.heartbeat().calls()));
    }
    panics::report_to(control.clone());
    last_words::prepare(&control);
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

/// The connection to the launcher that started this rank, or its absence.
fn connect(world: &dyn Communicator, device: String) -> Result<Control, ControlError> {
    let Ok(address) = std::env::var(ADDRESS_VARIABLE) else {
        return Ok(Control::absent());
    };
    let hello = hello(world.rank(), world.world_size(), device);
    let parted = |why| {
        if why == Parting::Lost {
            // Said at once: MPI ends a rank that has lost its mpirun, too, and sooner.
            tracing::error!("the launcher has gone; this rank ends too");
            std::thread::sleep(ORPHAN_GRACE);
        } else {
            tracing::error!("the launcher says that the run has failed; this rank ends too");
        }
        last_words::leave(RANK_FAILED);
    };
    Control::connect(&address, hello, parted)
}
