//! The program `lcsl`; see the library for everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    ExitCode::from(lcsl_launcher::cli::run(&arguments))
}
