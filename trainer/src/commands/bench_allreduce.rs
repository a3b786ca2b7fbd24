//! `lcsl-rank bench-allreduce`.

use std::process::ExitCode;

use clap::Args;
use lcsl_backends::nccl::Libraries;
use lcsl_backends::{MpiWorld, measure};
use lcsl_collective::{CollectiveError, Communicator, placement};
use lcsl_config::Devices;
use lcsl_run_dir::exit::RANK_FAILED;
use lcsl_trainer::engine::run::device;

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
    /// GPUs, whose memory is summed by NCCL; the host's is summed by MPI.
    #[arg(long, default_value = "cpu")]
    gpu: Devices,
}

/// Times sums, and returns the exit code.
pub(crate) fn run(asked: &BenchAllreduce) -> ExitCode {
    match measured(asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error, error.hint().map(str::to_owned), RANK_FAILED),
    }
}

fn measured(asked: &BenchAllreduce) -> Result<(), CollectiveError> {
    let mut world = MpiWorld::init()?;
    let (count, repeats) = ((asked.mib << 20) / size_of::<f32>(), asked.repeats);
    let (times, nccl) = match &asked.gpu {
        Devices::Cpu => (measure::all_reduce(&mut world, count, repeats)?, None),
        Devices::Gpus(listed) => {
            let libraries = Libraries::load()?;
            let (local_rank, gpus) = (world.local_rank()?.0, libraries.device_count()?);
            let ordinal = placement::ordinal(local_rank, listed, gpus, device::is_narrowed());
            let ordinal = ordinal.ok_or_else(|| CollectiveError::Missing {
                what: "the driver shows no GPU".to_owned(),
                hint: "sum on the CPU with --gpu=cpu",
            })?;
            let times =
                measure::all_reduce_on_gpus(&mut world, &libraries, ordinal, count, repeats)?;
            (times, Some(libraries.version().to_owned()))
        }
    };
    if world.rank() == 0 {
        let figures = serde_json::json!({
            "seconds": times.seconds,
            "bare_seconds": times.bare_seconds,
            "ratio": times.ratio(),
            "mib": asked.mib,
            "world_size": world.world_size(),
            "repeats": repeats,
            "nccl": nccl,
        });
        println!("{figures}");
    }
    world.leave()
}
