//! Several ranks that answer once, watched while they are at work: as those of a training run, but for what they leave
//! behind.

use std::io::{PipeReader, Read as _, pipe};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lcsl_config::RunConfig;

use super::answer::{Answer, Kept, cannot_start, keep};
use super::command::LaunchCommand;
use super::environment::{Inherited, LaunchEnvironment};
use super::group::{listen_from, supervision, system_fault, words};
use super::interface;
use super::leftovers;
use crate::fault::Fault;
use crate::supervise::display::Display;
use crate::supervise::interrupts::Interrupts;
use crate::supervise::verdict::Verdict;
use crate::supervise::watch::{Watch, watch};
use crate::supervise::{explain, mpirun_log, processes, server};
use crate::terminal;
use lcsl_run_dir::exit;

/// How long what was printed may take to arrive, when all that could print has been ended.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Starts the ranks of a configuration, watches them, and returns what they answer. `command` makes the command from
/// what the ranks find around them; `rank` and `libtorch` are where the programs lie.
pub fn answer(
    config: &RunConfig,
    (rank, libtorch): (&Path, &Path),
    command: impl FnOnce(&LaunchEnvironment<'_>) -> LaunchCommand,
) -> Result<Answer, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| system_fault("start the event loop", &error))?;
    runtime.block_on(attempt(config, (rank, libtorch), command))
}

async fn attempt(
    config: &RunConfig,
    (rank, libtorch): (&Path, &Path),
    command: impl FnOnce(&LaunchEnvironment<'_>) -> LaunchCommand,
) -> Result<Answer, Fault> {
    let mut interrupts =
        Interrupts::catch().map_err(|error| system_fault("catch signals", &error))?;
    leftovers::sweep();
    let inherited = &Inherited::here();
    let hosts = config.run.host_slots();
    let interface =
        if hosts.is_empty() { None } else { interface::choose(&config.run.interface, &hosts)? };
    let interface = interface.as_ref();
    let secret = &processes::new_secret().map_err(|error| system_fault("draw a secret", &error))?;
    let (control, heard) = server::listen(secret.clone(), listen_from(config, interface))
        .await
        .map_err(|error| system_fault("listen for the ranks", &error))?;
    let (control, libtorch) = (control.as_str(), Some(libtorch));
    let command =
        command(&LaunchEnvironment { rank, libtorch, control, secret, inherited, interface });
    let pipes = pipe().and_then(|output| Ok((output, pipe()?)));
    let ((output, to_output), (errors, to_errors)) =
        pipes.map_err(|error| system_fault("make a pipe", &error))?;
    let child = processes::start(&command, to_output.into(), to_errors.into())
        .map_err(|error| cannot_start(&command, &error))?;
    let (printed, said) =
        (gathered(output, read_all), gathered(errors, |errors| keep(errors, |_| ())));
    let mut display = Display::new(words(config));
    let mut at = Watch {
        supervision: supervision(config).without_saving(),
        child,
        heard,
        secret,
        record: &mut |_| Ok(()),
        display: &mut display,
        announce: &mut |_| (), // what was printed may not have come yet
    };
    let verdict = watch(&mut at, &mut interrupts).await;
    leftovers::remove_session();
    let said = said.recv_timeout(LAST_LINES).unwrap_or_default();
    said.remarks().for_each(|line| terminal::show_line(line));
    concluded(&verdict?, printed.recv_timeout(LAST_LINES).unwrap_or_default(), &said)
}

/// What `read` makes of a pipe, when that ends.
fn gathered<T: Send + 'static>(
    pipe: PipeReader,
    read: impl FnOnce(PipeReader) -> T + Send + 'static,
) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(read(pipe)));
    receiver
}

fn read_all(mut pipe: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be read to its end is no answer that could be understood.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

/// What comes of ranks that ended like that, with what they have `printed` as their answer, and what was `said`.
fn concluded(verdict: &Verdict, printed: Vec<u8>, said: &Kept) -> Result<Answer, Fault> {
    let of_hosts = || mpirun_log::of_launch(&mpirun_log::read(&said.printed), None);
    Err(match verdict {
        Verdict::Done => return Ok(Answer::Printed(printed)),
        Verdict::Stopped | Verdict::NotBegun | Verdict::Abandoned => {
            Fault::new("ended before all images were measured", exit::ABANDONED)
        }
        Verdict::NeverStarted(end) => {
            of_hosts().unwrap_or_else(|| explain::launch(&said.printed, None, *end))
        }
        Verdict::StartTooSlow { what } => {
            of_hosts().unwrap_or_else(|| explain::slow_start(what, &said.printed, None))
        }
        Verdict::Failed { what, hint, exit_code, is_certain, .. } => {
            let (what, hint) =
                mpirun_log::explained(what, hint.as_deref(), *is_certain, &said.printed);
            explain::rank_failure(&what, hint, *exit_code, &said.printed, None)
        }
    })
}
