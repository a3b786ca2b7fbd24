//! `lcsl-rank` with faults on demand, for tests. `LCSL_INJECT` says which: `panic:RANK:STEP`, `exit:RANK:STEP`,
//! `loop:RANK:STEP`, `clock:RANK:SECONDS`, and `leave_out:RANK:CALL` and `call_another:RANK:CALL`, which count the
//! calls of the world that are not sums of gradients.

#[path = "../src/commands/mod.rs"]
mod commands;
#[path = "../src/panics.rs"]
mod panics;

use std::process::ExitCode;

use lcsl_collective::Communicator;
use lcsl_collective::faulty::{Fault, Faulty};
use lcsl_trainer::faults::Faults;

const FAULTS: Faults = Faults { before_step, clock_off_seconds, world };

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
    if asked("loop", rank) == Some(step) {
        loop {
            std::hint::spin_loop();
        }
    }
}

fn world(world: Box<dyn Communicator>) -> Box<dyn Communicator> {
    let rank = world.rank();
    let faults = [("leave_out", Fault::LeavesOut), ("call_another", Fault::CallsAnother)];
    match faults.iter().find_map(|(word, fault)| Some((*fault, asked(word, rank)?))) {
        Some((fault, call)) => Box::new(Faulty::new(world, fault, call as usize)),
        None => world,
    }
}

fn clock_off_seconds(rank: usize) -> i64 {
    asked("clock", rank).map_or(0, u64::cast_signed)
}
