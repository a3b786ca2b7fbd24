//! The group of ranks that trains: started, watched, and started again after a failure, an attempt
//! each, if that was asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcsl_config::{Method, Origins, Protocol, RunConfig, TeacherName, host_list, to_toml};

use super::answer::cannot_start;
use crate::fault::Fault;
use crate::ranks::command;
use crate::ranks::environment::{Inherited, LaunchEnvironment};
use crate::ranks::interface::Interface;
use crate::ranks::leftovers;
use crate::ranks::survivors;
use crate::run_dir::LockedRunDir;
use crate::supervise::display::{Display, Words};
use crate::supervise::interrupts::Interrupts;
use crate::supervise::server::Listen;
use crate::supervise::state::Supervision;
use crate::supervise::verdict::Verdict;
use crate::supervise::watch::{Watch, watch};
use crate::supervise::watchdog::Limits;
use crate::supervise::{explain, mpirun_log, processes, server};
use crate::terminal;
use lcsl_run_dir::{RunDir, exit};

/// More of a log is not read to explain a launch that came to nothing.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// So much of a rank's log can hold its last words.
const LOG_END_BYTES: u64 = 16 << 10;

/// Everything that the attempts of one run have in common.
pub struct WorkerGroup<'a> {
    /// What they train.
    pub config: &'a RunConfig,
    /// Where each value of it came from.
    pub origins: &'a Origins,
    /// The program of one rank.
    pub rank: PathBuf,
    /// The directory of libtorch's libraries.
    pub libtorch: PathBuf,
    /// Where they work.
    pub run_dir: LockedRunDir,
    /// The network interface between hosts, where it is known.
    pub interface: Option<Interface>,
    /// How many threads of others compute on the cores that they want.
    pub competitors: usize,
    /// Whether a script wants to hear how it ended.
    pub json: bool,
}

impl WorkerGroup<'_> {
    /// Lets the ranks train, again after a failure as often as was asked for, and returns the exit
    /// code.
    pub async fn train(&self) -> Result<u8, Fault> {
        let mut interrupts =
            Interrupts::catch().map_err(|error| system_fault("catch signals", &error))?;
        leftovers::sweep();
        let restarts = self.config.run.max_restarts;
        let mut attempt = 0;
        let mut struck: Option<String> = None;
        let mut config = self.config.clone();
        loop {
            let secret =
                processes::new_secret().map_err(|error| system_fault("draw a secret", &error))?;
            let (end, interrupted) = tokio::select! {
                ended = self.attempt(&config, &mut interrupts, &secret) => ended?,
                taken_over = self.run_dir.keep() => {
                    processes::kill(None, &secret);
                    return Err(taken_over);
                }
            };
            let place = end.fault.as_ref().and_then(|fault| place_of(&fault.what));
            let again = place.is_some() && place == struck && attempt < restarts;
            if let Some(place) = place.as_ref().filter(|_| again) {
                terminal::show_note(&format!(
                    "{place}, as in the attempt before: another start would only come there again"
                ));
            }
            struck = place;
            if end.code != exit::RANK_FAILED || interrupted || attempt == restarts || again {
                if let Some(fault) = end.fault.filter(|_| self.json) {
                    terminal::print_fault(&fault);
                }
                return Ok(end.code);
            }
            attempt += 1;
            config = self.of_survivors().await?;
            terminal::show_note(&format!(
                "starting the ranks again from the newest whole checkpoint ({attempt} of {restarts})"
            ));
        }
    }

    /// The configuration of the next attempt: without the hosts that are gone, where that was allowed.
    async fn of_survivors(&self) -> Result<RunConfig, Fault> {
        let mut config = self.config.clone();
        let hosts = config.run.host_slots();
        // In a Slurm job hosts are reached through Slurm, and often not by ssh: the job is requeued instead.
        if config.run.min_ranks == 0 || hosts.is_empty() || Inherited::here().in_slurm {
            return Ok(config);
        }
        let asking = tokio::task::spawn_blocking(move || survivors::gone(&hosts));
        let gone = tokio::select! {
            gone = asking => gone.unwrap_or_default(),
            taken_over = self.run_dir.keep() => return Err(taken_over),
        };
        let mut origins = self.origins.clone();
        if !gone.is_empty() {
            let (hosts, ranks) = survivors::without(self.config, &gone)
                .map_err(|why| Fault::new(why, exit::RANK_FAILED))?;
            let (names, all) = (gone.join(", "), self.config.run.nproc);
            let left = host_list(&hosts);
            terminal::show_note(&format!(
                "{names} cannot be reached any more: going on with {ranks} of {all} ranks, on {left}"
            ));
            (config.run.hosts, config.run.nproc) = (left, ranks);
            for key in ["run.hosts", "run.nproc"] {
                origins.change(key, &format!("the loss of {names}"));
            }
        }
        self.run_dir.write_config(&to_toml(&config, &origins))?;
        Ok(config)
    }

    /// One attempt of all ranks: how it ended, and whether somebody asked to stop.
    async fn attempt(
        &self,
        config: &RunConfig,
        interrupts: &mut Interrupts,
        secret: &str,
    ) -> Result<(End, bool), Fault> {
        let from = listen_from(config, self.interface.as_ref());
        let (control, heard) = server::listen(secret.to_owned(), from)
            .await
            .map_err(|error| system_fault("listen for the ranks", &error))?;
        let command = self.command(config, &control, secret);
        let path = self.run_dir.at().log_of(Path::new(&command.program));
        let (log, log_start) = open_log(&path)?;
        let length = |rank| fs::metadata(self.run_dir.at().log(rank)).map_or(0, |it| it.len());
        let begins: Vec<u64> = (0..config.run.nproc).map(length).collect();
        let child = log
            .try_clone()
            .and_then(|errors| processes::start(&command, log.into(), errors.into()))
            .map_err(|error| cannot_start(&command, &error))?;
        let mut display = Display::new(words(config));
        let mut end = End { code: exit::DONE, fault: None };
        let mut announce = |verdict: &Verdict| {
            end = announce(verdict, self.run_dir.at(), (&path, log_start), &begins);
        };
        let mut at = Watch {
            supervision: supervision(config),
            child,
            heard,
            secret,
            record: &mut |ranks| self.run_dir.write_ranks(ranks),
            display: &mut display,
            announce: &mut announce,
        };
        let watched = watch(&mut at, interrupts).await;
        leftovers::remove_session();
        watched?;
        let interrupted = at.supervision.was_interrupted();
        Ok((end, interrupted))
    }

    fn command(&self, config: &RunConfig, control: &str, secret: &str) -> command::LaunchCommand {
        let inherited = &Inherited::beside(self.competitors);
        let (rank, libtorch) = (&self.rank, Some(self.libtorch.as_path()));
        let interface = self.interface.as_ref();
        let on = LaunchEnvironment { rank, libtorch, control, secret, inherited, interface };
        command::train(config, &on)
    }
}

/// Who failed in which step, as a fault says it; none where no step was made. A fault that strikes there again, after
/// the ranks were started from a checkpoint before it, is no accident.
fn place_of(what: &str) -> Option<String> {
    let first_line = what.lines().next()?;
    let (place, _) = first_line.split_once(" while ")?;
    place.contains(" at step ").then(|| place.to_owned())
}

/// How an attempt ended.
struct End {
    code: u8,
    fault: Option<Fault>,
}

/// Says how an attempt ended. `log` is what the started program printed into, from where on; `begins` says from where
/// on the logs of the ranks are of this attempt.
fn announce(
    verdict: &Verdict,
    run_dir: &RunDir,
    (log, log_start): (&Path, u64),
    begins: &[u64],
) -> End {
    let of_hosts = |printed: &str| {
        mpirun_log::of_launch(&mpirun_log::read(printed), Some(&log.display().to_string()))
    };
    let fault = match verdict {
        Verdict::Done => return End { code: exit::DONE, fault: None },
        Verdict::Stopped => {
            terminal::show_note(
                "stopped, and a checkpoint is saved; go on with the same command and --resume auto",
            );
            return End { code: exit::STOPPED, fault: None };
        }
        Verdict::NotBegun => {
            terminal::show_note(
                "stopped before training began, so there was nothing to save; start again with the same \
                 command and --resume auto",
            );
            return End { code: exit::STOPPED, fault: None };
        }
        Verdict::Abandoned => Fault {
            hint: Some("go on from that checkpoint with --resume auto".to_owned()),
            ..Fault::new(
                "ended at once; steps after the newest checkpoint are lost",
                exit::ABANDONED,
            )
        },
        Verdict::NeverStarted(end) => {
            let printed = printed(log, log_start);
            of_hosts(&printed).unwrap_or_else(|| explain::launch(&printed, Some(log), *end))
        }
        Verdict::StartTooSlow { what } => {
            let printed = printed(log, log_start);
            of_hosts(&printed).unwrap_or_else(|| explain::slow_start(what, &printed, Some(log)))
        }
        Verdict::Failed { what, hint, rank, exit_code, is_certain } => {
            let printed = printed(log, log_start);
            let (what, hint) = mpirun_log::explained(what, hint.as_deref(), *is_certain, &printed);
            // A rank that failed before it had a log said everything where mpirun does.
            let own = rank.map(|rank| run_dir.log(rank)).filter(|own| own.exists());
            let log = own.unwrap_or_else(|| log.to_owned());
            let begin = rank.and_then(|rank| begins.get(rank));
            let end = begin.map(|begin| ending(&log, *begin)).unwrap_or_default();
            explain::rank_failure(&what, hint, *exit_code, &end, Some(&log))
        }
    };
    terminal::show_fault(&fault);
    End { code: fault.exit_code, fault: Some(fault) }
}

/// The end of a rank's log, from `begin` on, which may say more than the rank could.
fn ending(log: &Path, begin: u64) -> String {
    let length = fs::metadata(log).map_or(0, |metadata| metadata.len());
    printed(log, length.saturating_sub(LOG_END_BYTES).max(begin))
}

/// Opens a log for more lines, and says where these will begin.
fn open_log(path: &Path) -> Result<(File, u64), Fault> {
    let log = OpenOptions::new().create(true).append(true).open(path);
    let log = log.map_err(|error| Fault::disk("open", path, &error))?;
    let length = log.metadata().map_err(|error| Fault::disk("read", path, &error))?.len();
    Ok((log, length))
}

/// What was written to a log from `start` on. A log that cannot be read explains nothing, and is no
/// reason to say less.
fn printed(log: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(log)
        && file.seek(SeekFrom::Start(start)).is_ok()
    {
        let _ = file.take(LOG_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// From where the ranks of a configuration connect.
pub(super) fn listen_from(config: &RunConfig, interface: Option<&Interface>) -> Listen {
    match (interface, config.run.hosts.is_empty()) {
        (_, true) => Listen::Here,
        (Some(interface), false) => Listen::At(interface.address),
        (None, false) => Listen::Everywhere,
    }
}

/// What watches the ranks of a configuration.
pub(super) fn supervision(config: &RunConfig) -> Supervision {
    Supervision::new(
        config.run.nproc,
        env!("CARGO_PKG_VERSION"),
        config.run.host_slots(),
        Duration::from_secs(config.run.start_limit_seconds),
        limits(config),
    )
}

fn limits(config: &RunConfig) -> Limits {
    let run = &config.run;
    let [silence, hang, wait] =
        [run.silence_limit_seconds, run.hang_limit_seconds, run.wait_limit_seconds]
            .map(Duration::from_secs);
    Limits { silence, hang, wait }
}

pub(super) fn words(config: &RunConfig) -> Words {
    Words {
        measured: match config.train.protocol {
            Protocol::Honest => "validation",
            Protocol::Paper => "test",
        },
        teaches_before: match (config.train.method, config.admission.teacher) {
            (Method::Lcsl, TeacherName::Best) => config.train.epochs, // a refit comes after them
            _ => 0,
        },
    }
}

/// Something that the operating system did not do; `action` completes the sentence "cannot …".
pub fn system_fault(action: &str, error: &std::io::Error) -> Fault {
    Fault::new(format!("cannot {action}: {error}"), exit::BUG)
}
