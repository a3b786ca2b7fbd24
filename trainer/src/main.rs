//! `lcsl-rank`: one process of a run. `lcsl` starts it, through mpirun when there are several; it
//! also runs by hand.

mod commands;
mod panics;

use std::process::ExitCode;

use lcsl_trainer::faults::Faults;

const FAULTS: Faults = Faults::NONE;

fn main() -> ExitCode {
    commands::run()
}
