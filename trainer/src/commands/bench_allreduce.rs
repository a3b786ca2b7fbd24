//! `lcsl-rank bench-allreduce`.

use std::process::ExitCode;

use clap::Args;
use lcsl_backends::{MpiWorld, measure};
use lcsl_collective::{CollectiveError, Communicator};
use lcsl_run_dir::exit::RANK_FAILED;

use super::refusal::refuse;

/// Arguments of `lcsl-rank bench-allreduce`.
#[derive(Args)]
pub(crate) struct BenchAllreduce {
    /// Size of the sum in MiB of float32.
    #[arg(long)]
    mib: usize,
    /// How many sums are timed.
    #[arg(long)]
    repeats: usize,
}

/// Times sums, and returns the exit code.
pub(crate) fn run(asked: &BenchAllreduce) -> ExitCode {
    match measured(asked.mib, asked.repeats) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error, None, RANK_FAILED),
    }
}

fn measured(mib: usize, repeats: usize) -> Result<(), CollectiveError> {
    let mut world = MpiWorld::init()?;
    let times = measure::all_reduce(&mut world, (mib << 20) / size_of::<f32>(), repeats)?;
    if world.rank() == 0 {
        let figures = serde_json::json!({
            "seconds": times.seconds,
            "bare_seconds": times.bare_seconds,
            "ratio": times.ratio(),
            "mib": mib,
            "world_size": world.world_size(),
            "repeats": repeats,
        });
        println!("{figures}");
    }
    world.leave()
}
