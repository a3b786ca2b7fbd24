//! Who holds a run directory, as its lock file tells, and whether that launcher can be taken to be alive. Pure.
//!
//! ```text
//! process 4711 on host h1, Slurm job 77      for people; no job outside of Slurm
//! 0f3c…9a 000000000012                       16 hexadecimal digits of this launcher's own, and a count of its beats
//! ```
//!
//! The system's own lock (flock) is not enough: some file systems have none, and some keep it to one host, so that two
//! hosts have the same directory "to themselves". So a launcher also counts in the file while it is alive.

use std::fmt;
use std::time::Duration;

/// How often a launcher counts.
pub(super) const BEAT: Duration = Duration::from_secs(5);

/// A launcher that has not counted for so long is taken to be dead: three beats, and what a network file system may
/// keep them from others.
pub(super) const SILENT: Duration = Duration::from_secs(20);

/// A launcher that holds a run directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) host: String,
    /// The scheduler's job that it is part of.
    pub(super) job: Option<String>,
    /// What no other launcher has; hexadecimal digits.
    pub(super) token: String,
    /// How often it has counted.
    pub(super) beats: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on host {}", self.pid, self.host)?;
        self.job.as_ref().map_or(Ok(()), |job| write!(f, ", Slurm job {job}"))
    }
}

impl Holder {
    /// The whole lock file. It keeps its length while the beats are counted.
    pub(super) fn text(&self) -> String {
        format!("{self}\n{} {:012}\n", self.token, self.beats)
    }

    /// The holder that a lock file names; none when it names none: an empty file is that of a launcher that ended in
    /// good order.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (who, rest) = text.split_once('\n')?;
        let (token, beats) = rest.lines().next()?.split_once(' ')?;
        let (pid, place) = who.strip_prefix("process ")?.split_once(" on host ")?;
        let (host, job) = match place.split_once(", Slurm job ") {
            Some((host, job)) => (host, Some(job.to_owned())),
            None => (place, None),
        };
        Some(Self {
            pid: pid.parse().ok()?,
            host: host.to_owned(),
            job,
            token: token.to_owned(),
            beats: beats.parse().ok()?,
        })
    }
}

/// What the system's own lock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SystemLock {
    /// We have it now.
    Ours,
    /// Another process has it.
    Theirs,
    /// This file system has none.
    Unsupported,
}

/// Whether a run directory can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Free,
    Held,
    /// Only the beats can tell.
    Unknown,
}

/// What is found at a look at the lock file.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) system: SystemLock,
    pub(super) holder: Option<Holder>,
    /// Whether the holder runs on this host.
    pub(super) is_here: bool,
    /// Whether a process with its number lives on this host.
    pub(super) lives_here: bool,
}

impl Look {
    fn claim(&self) -> Claim {
        match (self.system, &self.holder) {
            (SystemLock::Theirs, _) => Claim::Held,
            (_, None) => Claim::Free,
            // On one host the system takes its lock back when the process has gone, however it went.
            (SystemLock::Ours, Some(_)) if self.is_here => Claim::Free,
            (SystemLock::Unsupported, Some(_)) if self.is_here && !self.lives_here => Claim::Free,
            _ => Claim::Unknown,
        }
    }
}

/// What to do after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Take the directory.
    Take {
        /// Whether somebody's name stood there that was silent for too long.
        from_the_silent: bool,
    },
    /// Look again soon.
    Wait,
    /// It is in use.
    GiveUp,
}

/// Somebody who wants a run directory, over several looks at its lock.
#[derive(Debug)]
pub(super) struct Applicant {
    /// How long a launcher that is alive is waited for.
    wait: Duration,
    /// What was last read, and since when it has not changed.
    seen: Option<(Holder, Duration)>,
    /// Whether it was seen to change.
    counts: bool,
}

impl Applicant {
    /// Waits at most `wait` for a launcher that is known to be alive.
    pub(super) fn new(wait: Duration) -> Self {
        Self { wait, seen: None, counts: false }
    }

    /// Takes in what was found `now`, counted from the first look.
    pub(super) fn on(&mut self, now: Duration, look: &Look) -> Next {
        let unchanged = match (&look.holder, &self.seen) {
            (Some(found), Some((seen, since))) if found == seen => now.saturating_sub(*since),
            (Some(found), before) => {
                self.counts |= before.is_some();
                self.seen = Some((found.clone(), now));
                Duration::ZERO
            }
            (None, _) => Duration::ZERO,
        };
        match look.claim() {
            Claim::Free => return Next::Take { from_the_silent: false },
            Claim::Unknown if unchanged >= SILENT => {
                return Next::Take { from_the_silent: true };
            }
            Claim::Unknown if !self.counts => return Next::Wait,
            Claim::Unknown | Claim::Held => {}
        }
        if now < self.wait { Next::Wait } else { Next::GiveUp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKE: Next = Next::Take { from_the_silent: false };

    fn holder(beats: u64) -> Holder {
        Holder { pid: 17, host: "h1".to_owned(), job: None, token: "0a1b".to_owned(), beats }
    }

    fn look(system: SystemLock, holder: Option<Holder>) -> Look {
        Look { system, holder, is_here: false, lives_here: false }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for job in [None, Some("77_3".to_owned())] {
            let holder = Holder { job, ..holder(12) };
            assert_eq!(Holder::parse(&holder.text()), Some(holder.clone()));
            let later = Holder { beats: 1_000_000, ..holder.clone() };
            assert_eq!(later.text().len(), holder.text().len());
        }
        for text in ["", "process 4 on host h\n", "process x on host h\n0a 1\n", "gibberish"] {
            assert_eq!(Holder::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn on_one_host_the_lock_of_the_system_decides() {
        let at_once = |look: &Look| Applicant::new(Duration::ZERO).on(Duration::ZERO, look);
        let here = |system, lives_here| Look {
            is_here: true,
            lives_here,
            ..look(system, Some(holder(3)))
        };
        assert_eq!(at_once(&look(SystemLock::Ours, None)), TAKE);
        assert_eq!(at_once(&here(SystemLock::Ours, false)), TAKE, "it was killed");
        assert_eq!(at_once(&here(SystemLock::Theirs, true)), Next::GiveUp);
        assert_eq!(at_once(&look(SystemLock::Theirs, None)), Next::GiveUp);
        assert_eq!(at_once(&here(SystemLock::Unsupported, false)), TAKE);
    }

    /// Story: on a file system whose locks hold on one host only, two launchers wrote into one run directory, both
    /// ended with 0, and its metrics were broken.
    #[test]
    fn on_another_host_a_launcher_that_counts_is_alive() {
        for system in [SystemLock::Ours, SystemLock::Unsupported] {
            let mut applicant = Applicant::new(Duration::ZERO);
            assert_eq!(applicant.on(seconds(0), &look(system, Some(holder(3)))), Next::Wait);
            assert_eq!(applicant.on(seconds(4), &look(system, Some(holder(3)))), Next::Wait);
            assert_eq!(applicant.on(seconds(5), &look(system, Some(holder(4)))), Next::GiveUp);
        }
    }

    #[test]
    fn a_launcher_of_another_host_that_is_silent_loses_the_directory() {
        let mut applicant = Applicant::new(Duration::ZERO);
        let found = look(SystemLock::Ours, Some(holder(3)));
        assert_eq!(applicant.on(seconds(0), &found), Next::Wait);
        assert_eq!(applicant.on(seconds(19), &found), Next::Wait);
        assert_eq!(applicant.on(seconds(20), &found), Next::Take { from_the_silent: true });
    }

    /// Story: a requeued job met the job before it, cut off but alive, and was refused. It was lost, though the other
    /// ended a moment later.
    #[test]
    fn a_launcher_that_lives_is_waited_for_as_long_as_was_asked() {
        let mut applicant = Applicant::new(seconds(30));
        let theirs = look(SystemLock::Theirs, Some(holder(3)));
        assert_eq!(applicant.on(seconds(0), &theirs), Next::Wait);
        assert_eq!(applicant.on(seconds(29), &theirs), Next::Wait);
        assert_eq!(applicant.on(seconds(29), &look(SystemLock::Ours, None)), TAKE);
        assert_eq!(applicant.on(seconds(30), &theirs), Next::GiveUp);
        // One that counts is waited for just so, and taken over from once it falls silent.
        let mut applicant = Applicant::new(seconds(60));
        for (now, beats) in [(0, 1), (5, 2), (10, 3)] {
            let found = look(SystemLock::Unsupported, Some(holder(beats)));
            assert_eq!(applicant.on(seconds(now), &found), Next::Wait);
        }
        let silent = look(SystemLock::Unsupported, Some(holder(3)));
        assert_eq!(applicant.on(seconds(30), &silent), Next::Take { from_the_silent: true });
    }
}
