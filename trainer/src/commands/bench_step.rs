//! `lcsl-rank bench-step`.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use lcsl_config::Machine;
use lcsl_run_dir::exit::{RANK_FAILED, USAGE};
use lcsl_trainer::engine::bench;
use lcsl_trainer::engine::run::device;

use super::refusal::refuse;
use super::start::join_world;

/// Arguments of `lcsl-rank bench-step`.
#[derive(Args)]
pub(crate) struct BenchStep {
    /// How many steps.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Wait so many milliseconds before each sum over ranks.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Of which run: flags as for `lcsl train`.
    #[arg(last = true)]
    flags: Vec<OsString>,
}

/// Times steps, and returns the exit code.
pub(crate) fn run(asked: &BenchStep) -> ExitCode {
    let BenchStep { steps, delay_ms, flags } = asked;
    let (steps, delay) = (*steps, Duration::from_millis(*delay_ms));
    // Whether the GPUs listed are there was looked for by the launcher, and is found out below.
    let machine = Machine { cores: 1, gpus: Some(usize::MAX) };
    let config = match lcsl_config::parse_train(flags, &machine) {
        Ok(command) => command.config,
        Err(stop) => return refuse(&stop, None, USAGE),
    };
    device::set_up_libtorch(&config);
    let measured =
        join_world(&config).map_err(anyhow::Error::from).and_then(|(world, local_rank)| {
            let is_first = world.rank() == 0;
            let device = device::of_rank(&config, local_rank)?;
            Ok((is_first, bench::step(&config, world, device, steps, delay)?))
        });
    match measured.and_then(|(first, figures)| Ok((first, serde_json::to_string(&figures)?))) {
        Ok((true, text)) => println!("{text}"),
        Ok((false, _)) => {}
        Err(error) => return refuse(&error, None, RANK_FAILED),
    }
    ExitCode::SUCCESS
}
