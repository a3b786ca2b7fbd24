//! The signals that ask the launcher to stop.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Who asks the launcher to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// A person at the keyboard, by SIGINT: who insists means "at once".
    Keyboard,
    /// A scheduler, `timeout`, or the end of a terminal or of a session. They repeat themselves: they
    /// signal a process and then its group, or SIGTERM follows SIGUSR1. So a repetition means nothing.
    System,
}

/// Caught from the moment this is made, which has to be before the ranks start.
#[derive(Debug)]
pub struct Interrupts {
    keyboard: Signal,
    system: Vec<Signal>,
}

impl Interrupts {
    /// Catches SIGINT and SIGTERM, and SIGHUP, SIGUSR1 and SIGUSR2 where the caller has not chosen to
    /// ignore them: what `nohup` starts outlives its terminal.
    pub fn catch() -> io::Result<Self> {
        // Where /proc is absent nothing is known to be ignored.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let optional =
            [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()];
        let wanted = optional.into_iter().filter(|kind| !is_ignored(&status, kind.as_raw_value()));
        let system = std::iter::once(SignalKind::terminate()).chain(wanted).map(signal);
        Ok(Self {
            keyboard: signal(SignalKind::interrupt())?,
            system: system.collect::<io::Result<_>>()?,
        })
    }

    /// The next wish to stop. May be dropped and asked again: none is lost.
    pub async fn next(&mut self) -> Asking {
        poll_fn(|context| {
            if self.keyboard.poll_recv(context).is_ready() {
                return Poll::Ready(Asking::Keyboard);
            }
            let mut system = self.system.iter_mut();
            if system.any(|signal| signal.poll_recv(context).is_ready()) {
                Poll::Ready(Asking::System)
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

/// Whether a process with this `/proc/PID/status` ignores a signal: its mask counts signals from 1.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_counts_from_1() {
        let status = "Name:\tlcsl\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\n";
        let ignored: Vec<i32> = (1..=64).filter(|signal| is_ignored(status, *signal)).collect();
        assert_eq!(
            ignored,
            [1, 13],
            "SIGHUP, as under nohup, and SIGPIPE, as in every Rust program"
        );
        assert!(!is_ignored("", 1));
    }
}
