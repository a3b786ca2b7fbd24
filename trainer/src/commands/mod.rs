//! What a rank can be started for, a file for each command, its arguments with it.
//!
//! [`start`] is what commands have in common before they begin, [`refusal`] how they say that they
//! cannot.

mod bench_allreduce;
mod bench_step;
mod control;
mod eval;
mod export;
mod predict;
mod refusal;
mod staging;
mod start;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lcsl_trainer::engine::cuda;

use crate::panics;

/// One process of a run: libtorch on one device.
#[derive(Parser)]
#[command(name = "lcsl-rank", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train as `RUN_DIR/config.toml` says, together with the ranks that were started beside this
    /// one.
    Train(train::Train),
    /// Measure a run's selected model and print the figures as JSON.
    Eval(eval::Eval),
    /// Write a run's selected model as safetensors.
    Export(export::Export),
    /// Print what a run's selected model says of pictures, as JSON.
    Predict(predict::Predict),
    /// Time training steps, together with the ranks that were started beside this one, and print the
    /// figures as JSON.
    BenchStep(bench_step::BenchStep),
    /// Time sums over all ranks that mpirun has started beside this one, and print the figures as
    /// JSON.
    BenchAllreduce(bench_allreduce::BenchAllreduce),
}

/// Does what the arguments of this process ask for, and returns the exit code.
pub(crate) fn run() -> ExitCode {
    cuda::open();
    let arguments = Arguments::parse();
    panics::report();
    // A log on a full disk must not panic over its own complaints.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .log_internal_errors(false)
        .init();
    match arguments.command {
        Command::Train(asked) => train::run(asked),
        Command::Eval(asked) => eval::run(asked),
        Command::Export(asked) => export::run(asked),
        Command::Predict(asked) => predict::run(asked),
        Command::BenchStep(asked) => bench_step::run(&asked),
        Command::BenchAllreduce(asked) => bench_allreduce::run(&asked),
    }
}
