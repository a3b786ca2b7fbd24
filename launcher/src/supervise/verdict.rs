//! How a run ended, and the sentence that says it.

use std::fmt::Write as _;
use std::time::Duration;

use lcsl_collective::control::{Hello, Phase};

use super::facts::{ChildEnd, Facts, LastWord, Misfit, RankStatus};
use super::start::{absent, listed};
use lcsl_run_dir::exit;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All ranks finished.
    Done,
    /// All ranks stopped on request, after a checkpoint.
    Stopped,
    /// Stopped on request before any step could be made.
    NotBegun,
    /// A second interrupt ended everything at once.
    Abandoned,
    /// No rank ever reached the launcher; what the program printed must say why.
    NeverStarted(ChildEnd),
    /// Ranks took too long to come; what the program printed may say why.
    StartTooSlow {
        /// A clause that says who was missing for how long.
        what: String,
    },
    /// Something went wrong.
    Failed {
        /// What happened and where.
        what: String,
        /// What to do about it.
        hint: Option<String>,
        /// The rank whose log tells more, if it is one rank's fault.
        rank: Option<usize>,
        /// The exit code.
        exit_code: u8,
        /// Whether somebody who saw it has said so; where not, what mpirun knows of hosts may explain it.
        is_certain: bool,
    },
}

/// Judges a run of which no more is to be expected.
///
/// A rank that failed by itself beats one whose connection was lost, which beats one that fell over
/// another; among equals the first to be heard of counts.
pub(super) fn of(run: &Facts) -> Verdict {
    match &run.misfit {
        Some(Misfit::Version { hello, ours }) => return other_version(hello, ours),
        Some(Misfit::World { hello }) => return other_world(hello, run.ranks.len()),
        Some(Misfit::Place { what }) => return other_place(what),
        None => {}
    }
    if let Some(&rank) = run.culprits.first() {
        return failed(run, rank);
    }
    let several = run.ranks.len() > 1;
    match (run.child, several) {
        // mpirun passes signals on and then exits; when one ends mpirun itself, the ranks only
        // follow.
        (Some(ChildEnd::Signal(signal)), true) => return mpirun_killed(signal),
        (Some(end), _) if run.ranks.iter().all(|status| status.hello.is_none()) => {
            return Verdict::NeverStarted(end);
        }
        _ => {}
    }
    if let Some(&rank) = run.lost.first() {
        return lost(run, rank);
    }
    if let Some(&rank) = run.bystanders.first() {
        return failed(run, rank);
    }
    let codes: Vec<i32> = run.ranks.iter().filter_map(finished_with).collect();
    if codes.len() == run.ranks.len() { all_finished(run.child, &codes) } else { left_alone(run) }
}

/// Judges a run whose ranks have not all come within the limit, at `now`.
pub(super) fn of_slow_start(run: &Facts, now: Duration) -> Verdict {
    let (absent, seconds) = (absent(run), now.as_secs());
    let who = if absent.len() == run.ranks.len() { "no rank".to_owned() } else { listed(&absent) };
    let had = if absent.len() == run.ranks.len() { "had reached" } else { "had not reached" };
    Verdict::StartTooSlow { what: format!("{who} {had} the launcher after {seconds} s") }
}

/// A rank of another version of the program.
fn other_version(hello: &Hello, ours: &str) -> Verdict {
    Verdict::Failed {
        what: format!(
            "lcsl-rank on host {} is version {}, but lcsl is version {ours}",
            hello.host, hello.version
        ),
        hint: Some("build both together with `make build`".to_owned()),
        rank: None,
        exit_code: exit::USAGE,
        is_certain: true,
    }
}

/// A rank that counts itself into another world: the launch did not do what was asked.
fn other_world(hello: &Hello, expected: usize) -> Verdict {
    Verdict::Failed {
        what: format!(
            "the process {} on host {} is rank {} of {}, but one of {expected} different ranks was \
             expected",
            hello.pid, hello.host, hello.rank, hello.world_size
        ),
        hint: Some(
            "mpirun and the MPI library of lcsl-rank are probably two different ones; see `mpirun \
             --version` and `ldd lcsl-rank`"
                .to_owned(),
        ),
        rank: None,
        exit_code: exit::USAGE,
        is_certain: true,
    }
}

/// A rank that runs elsewhere than was asked for.
fn other_place(what: &str) -> Verdict {
    Verdict::Failed {
        what: what.to_owned(),
        hint: Some(
            "under Slurm only the hosts of the job can be used; `mpirun --host` has to take the hosts as they are \
             written"
                .to_owned(),
        ),
        rank: None,
        exit_code: exit::USAGE,
        is_certain: true,
    }
}

fn failed(run: &Facts, rank: usize) -> Verdict {
    let status = &run.ranks[rank];
    let Some(LastWord::Failed(failure)) = &status.last_word else {
        unreachable!("rank {rank} is listed as failed because it said so");
    };
    Verdict::Failed {
        what: format!("{} failed{}: {}", name(status, rank), place(status), failure.what),
        hint: failure.hint.clone(),
        rank: Some(rank),
        exit_code: u8::try_from(failure.exit_code).unwrap_or(exit::BUG),
        is_certain: !failure.bystander,
    }
}

fn lost(run: &Facts, rank: usize) -> Verdict {
    let status = &run.ranks[rank];
    // The only rank is our own child, so how it ended is known; of others only mpirun knows.
    let alone = run.ranks.len() == 1;
    let how = match run.child {
        Some(ChildEnd::Signal(signal)) if alone => {
            format!("was killed by {} (no last word)", signal_name(signal))
        }
        Some(ChildEnd::Code(code)) if alone => format!("ended with code {code} (no last word)"),
        _ => "was killed (no last word)".to_owned(),
    };
    let mut what = format!("{} {how}{}", name(status, rank), place(status));
    let absent = absent(run);
    if !absent.is_empty() {
        let _ = write!(what, "; {} had not reached the launcher by then", listed(&absent));
    }
    Verdict::Failed {
        what,
        hint: Some(
            "a process that dies without a word was often ended by the system for lack of memory: \
             see `dmesg`"
                .to_owned(),
        ),
        rank: Some(rank),
        exit_code: exit::RANK_FAILED,
        is_certain: false,
    }
}

fn mpirun_killed(signal: i32) -> Verdict {
    Verdict::Failed {
        what: format!("mpirun was killed by {} while the ranks were at work", signal_name(signal)),
        hint: Some("go on from the newest checkpoint with --resume auto".to_owned()),
        rank: None,
        exit_code: exit::RANK_FAILED,
        is_certain: true,
    }
}

/// Whether all ranks have said that they stop on request, with a checkpoint saved.
pub(super) fn all_stopped(run: &Facts) -> bool {
    let codes: Vec<i32> = run.ranks.iter().filter_map(finished_with).collect();
    codes.len() == run.ranks.len() && stopped(&codes)
}

fn stopped(codes: &[i32]) -> bool {
    let (done, stopped) = (i32::from(exit::DONE), i32::from(exit::STOPPED));
    codes.contains(&stopped) && codes.iter().all(|code| [done, stopped].contains(code))
}

fn all_finished(child: Option<ChildEnd>, codes: &[i32]) -> Verdict {
    let done = i32::from(exit::DONE);
    match child {
        // Every rank has said that its checkpoint is saved; how mpirun ends after ranks that end with 75 says no more.
        _ if stopped(codes) => Verdict::Stopped,
        Some(ChildEnd::Code(0)) if codes.iter().all(|code| *code == done) => Verdict::Done,
        Some(end) => plain_failure(format!("all ranks finished, but then {}", describe(end))),
        None => plain_failure("all ranks finished, but their processes did not end".to_owned()),
    }
}

/// The child is gone, nobody complained, and yet not all ranks finished.
fn left_alone(run: &Facts) -> Verdict {
    let absent = run.ranks.iter().position(|status| status.hello.is_none());
    let what = match (absent, run.child) {
        (Some(rank), _) => format!("rank {rank} never reached the launcher"),
        (None, Some(end)) => format!("{} while ranks were at work", describe(end)),
        (None, None) => "the ranks stopped at different places".to_owned(),
    };
    plain_failure(what)
}

fn plain_failure(what: String) -> Verdict {
    let (hint, rank, exit_code) = (None, None, exit::RANK_FAILED);
    Verdict::Failed { what, hint, rank, exit_code, is_certain: false }
}

fn finished_with(status: &RankStatus) -> Option<i32> {
    match status.last_word {
        Some(LastWord::Finished(code)) => Some(code),
        _ => None,
    }
}

/// Completes a sentence that begins with what came before.
pub(super) fn describe(end: ChildEnd) -> String {
    match end {
        ChildEnd::Code(code) => format!("the launched program ended with code {code}"),
        ChildEnd::Signal(signal) => {
            format!("the launched program was killed by {}", signal_name(signal))
        }
    }
}

pub(super) fn name(status: &RankStatus, rank: usize) -> String {
    match &status.hello {
        Some(hello) => format!("rank {rank} on host {}", hello.host),
        None => format!("rank {rank}"),
    }
}

/// Where a rank was when it was last heard of.
pub(super) fn place(status: &RankStatus) -> String {
    match status.phase {
        None | Some(Phase::Starting) => " while starting".to_owned(),
        Some(Phase::Staging) => {
            format!(
                " while copying the dataset to its host's own disk ({} files done)",
                status.done
            )
        }
        Some(Phase::Evaluation) if status.done > 0 => {
            format!(" at step {} while evaluating ({} batches done)", status.step, status.done)
        }
        Some(phase) => format!(" at step {} while {phase}", status.step),
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        2 => "SIGINT".to_owned(),
        4 => "SIGILL".to_owned(),
        6 => "SIGABRT".to_owned(),
        7 => "SIGBUS".to_owned(),
        8 => "SIGFPE".to_owned(),
        9 => "SIGKILL".to_owned(),
        11 => "SIGSEGV".to_owned(),
        15 => "SIGTERM".to_owned(),
        _ => format!("signal {signal}"),
    }
}
