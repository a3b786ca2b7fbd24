//! Faults on demand, for the tests that watch a run die: a rank that panics, one that a library ends by `exit`, and one
//! whose clock is off. Nothing from outside can bring these about, as a signal can be sent.

use std::str::FromStr;

/// The variable that asks for a fault: `WHAT:RANK:STEP`, for example `panic:1:4`. Of a `clock`, the last number is by
/// how many seconds it is ahead.
pub const VARIABLE: &str = "LCSL_INJECT";

/// How a rank goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Panic,
    Exit,
    Clock,
}

/// A fault, and where it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    fault: Fault,
    rank: usize,
    step: u64,
}

impl FromStr for Injection {
    type Err = String;

    /// The error says what was expected.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "{VARIABLE} is \"{text}\", but must be panic, exit or clock, a rank and a number, as in panic:1:4"
            )
        };
        let mut parts = text.split(':');
        let (Some(what), Some(rank), Some(step), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(expected());
        };
        let fault = match what {
            "panic" => Fault::Panic,
            "exit" => Fault::Exit,
            "clock" => Fault::Clock,
            _ => return Err(expected()),
        };
        let rank = rank.parse().map_err(|_| expected())?;
        let step = step.parse().map_err(|_| expected())?;
        Ok(Self { fault, rank, step })
    }
}

impl Injection {
    /// What the environment asks for; a wish that cannot be understood is logged and left alone.
    pub fn from_environment() -> Option<Self> {
        let wish = std::env::var(VARIABLE).ok()?;
        wish.parse().map_err(|why| tracing::warn!("{why}")).ok()
    }

    /// Goes wrong if this is the rank and the step (optimiser steps made before).
    pub fn strike(self, rank: usize, step: u64) {
        if (rank, step) != (self.rank, self.step) {
            return;
        }
        match self.fault {
            Fault::Panic => panic!("{VARIABLE} asked for this"),
            Fault::Exit => std::process::exit(0),
            Fault::Clock => {}
        }
    }

    /// By how many seconds the clock of this rank is said to be ahead.
    pub fn clock_off_seconds(self, rank: usize) -> i64 {
        let is_off = self.fault == Fault::Clock && rank == self.rank;
        if is_off { self.step as i64 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_fault_rank_and_step() {
        let wish = Injection { fault: Fault::Panic, rank: 1, step: 4 };
        assert_eq!("panic:1:4".parse(), Ok(wish));
        for other in ["", "panic", "panic:1", "panic:1:4:5", "sneeze:1:4", "exit:one:4"] {
            assert!(other.parse::<Injection>().is_err(), "{other}");
        }
        wish.strike(0, 4);
        wish.strike(1, 3);
    }
}
