//! `lcsl-rank` with faults on demand, for tests. `LCSL_INJECT` says which: `panic:RANK:STEP`, `exit:RANK:STEP` or
//! `clock:RANK:SECONDS`.

#[path = "../src/commands/mod.rs"]
mod commands;
#[path = "../src/panics.rs"]
mod panics;

use std::process::ExitCode;

use lcsl_trainer::faults::Faults;

const FAULTS: Faults = Faults { before_step, clock_off_seconds };

fn main() -> ExitCode {
    commands::run()
}

/// The number that the environment asks for, where it asks for this fault of this rank.
fn asked(fault: &str, rank: usize) -> Option<u64> {
    let wish = std::env::var("LCSL_INJECT").ok()?;
    let [what, of, number] = *wish.split(':').collect::<Vec<_>>().as_slice() else {
        panic!("LCSL_INJECT is {wish}")
    };
    let number = number.parse().expect("LCSL_INJECT ends in a number");
    (what == fault && of == rank.to_string()).then_some(number)
}

fn before_step(rank: usize, step: u64) {
    assert_ne!(asked("panic", rank), Some(step), "LCSL_INJECT asked for this");
    if asked("exit", rank) == Some(step) {
        std::process::exit(0);
    }
}

fn clock_off_seconds(rank: usize) -> i64 {
    asked("clock", rank).map_or(0, u64::cast_signed)
}
