//! Starting the ranks, and ending all of them, also those that have left our process group.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lcsl_collective::control::SECRET_VARIABLE;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

use super::facts::ChildEnd;
use super::tether::tether;
use crate::ranks::command::LaunchCommand;

/// Starts a command in a process group of its own, so that Ctrl-C reaches the launcher alone, with these outputs.
pub fn start(command: &LaunchCommand, output: Stdio, errors: Stdio) -> io::Result<Child> {
    let mut starting = Command::new(&command.program);
    starting
        .args(&command.arguments)
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0);
    if command.through_mpirun {
        tether(&mut starting);
    }
    tokio::process::Command::from(starting).spawn()
}

/// How a process ended.
pub fn end_of(status: ExitStatus) -> ChildEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => ChildEnd::Code(code),
        (None, Some(signal)) => ChildEnd::Signal(signal),
        (None, None) => unreachable!("a process that has ended was not merely stopped"),
    }
}

/// Sends SIGTERM to the group of the started program. mpirun passes it on to its ranks.
pub fn terminate(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::TERM);
    }
}

/// Sends SIGKILL to the group of the started program and to every process of this run on this host.
///
/// Under mpirun each rank has a process group, perhaps a session, of its own. A process belongs to
/// the run if it was started with the run's secret in its environment; a process number alone might
/// have been given to another by now.
pub fn kill(group: Option<Pid>, secret: &str) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let began = Instant::now();
    loop {
        let found = processes_with(secret);
        for pid in &found.ours {
            let _ = kill_process(*pid, Signal::KILL);
        }
        // One that was killed might have been starting another: the last look finds none of ours.
        let settled = found.ours.is_empty() && !found.undecided;
        if settled || began.elapsed() > SEARCH_MAX {
            return;
        }
        std::thread::sleep(SEARCH_INTERVAL);
    }
}

/// How long [`kill`] looks for processes, at most: some foreign process may never show an environment.
const SEARCH_MAX: Duration = Duration::from_millis(500);
const SEARCH_INTERVAL: Duration = Duration::from_millis(2);

/// What one look at the processes of this host has found.
#[derive(Debug, Default)]
struct Found {
    /// Those that were started with the secret, and run.
    ours: Vec<Pid>,
    /// Whether there was one that shows no environment yet, as between `execve` and its first instruction.
    undecided: bool,
}

/// The processes of this host that were started with this secret.
fn processes_with(secret: &str) -> Found {
    let variable = format!("{SECRET_VARIABLE}={secret}");
    let mut found = Found::default();
    let Ok(listing) = fs::read_dir("/proc") else {
        return found;
    };
    for entry in listing.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
        // The environment of other users' processes cannot be read, and none of them is ours.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|set| set == variable.as_bytes()) {
            found.ours.push(pid);
        } else if environment.is_empty() {
            // Nor have threads of the kernel and zombies an environment; they have no program either.
            found.undecided |= fs::read_link(entry.path().join("exe")).is_ok();
        }
    }
    found
}

/// A secret that no other process can guess: 32 hexadecimal digits from the system.
pub fn new_secret() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open(Path::new("/dev/urandom"))?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }

    /// On a machine under load this once waited the whole minute and saw the process end by itself: a
    /// process that has just been started shows an empty environment for a moment, and one look at that
    /// moment took it for a stranger.
    #[test]
    fn a_process_that_left_its_group_is_found_and_killed_however_young() {
        for _ in 0..100 {
            left_alone_it_is_found_and_killed();
        }
    }

    fn left_alone_it_is_found_and_killed() {
        let secret = new_secret().unwrap();
        let mut apart = Command::new("sleep")
            .arg("60")
            .env(SECRET_VARIABLE, &secret)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stranger =
            Command::new("sleep").arg("60").env(SECRET_VARIABLE, "other").spawn().unwrap();
        kill(None, &secret);
        assert_eq!(end_of(apart.wait().unwrap()), ChildEnd::Signal(9));
        assert!(stranger.try_wait().unwrap().is_none(), "only processes of this run are ended");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
