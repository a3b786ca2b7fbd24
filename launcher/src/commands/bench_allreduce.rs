//! `lcsl bench allreduce`: how long a sum over ranks takes.

use std::ffi::OsString;
use std::ops::RangeInclusive;

use clap::Args;
use clap::builder::TypedValueParser;
use lcsl_config::{RunConfig, Stop, host_slots, parse_train};
use lcsl_run_dir::exit;
use serde::Deserialize;

use crate::fault::Fault;
use crate::machine;
use crate::ranks::answer::measure;
use crate::ranks::command;
use crate::ranks::environment::{Inherited, LaunchEnvironment};
use crate::ranks::programs::{SearchPaths, look};

/// Arguments of `lcsl bench allreduce`.
#[derive(Debug, Args)]
pub struct AllreduceBench {
    /// Ranks; 2, or one for each GPU, if left out
    #[arg(long, value_parser = counted(1..=65_536))]
    pub nproc: Option<usize>,
    /// GPUs as for training, such as 0,1: sums of their memory by NCCL; cpu for MPI
    #[arg(long, default_value = "cpu")]
    pub gpu: String,
    /// Size of the sum in MiB of float32
    #[arg(long, default_value_t = 25, value_parser = counted(1..=8191))]
    pub mib: usize,
    /// Sums that are timed, after three that are not
    #[arg(long, default_value_t = 40, value_parser = counted(1..=1_000_000))]
    pub repeats: usize,
    /// Hosts as for mpirun --host, such as a:4,b:4; this machine alone if left out
    #[arg(long, default_value = "")]
    pub hosts: String,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// A count within limits.
fn counted(limits: RangeInclusive<i64>) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(i64).range(limits).map(|count| count as usize)
}

/// What is shown of the figures.
#[derive(Debug, Deserialize)]
struct Figures {
    seconds: f64,
    bare_seconds: f64,
    ratio: f64,
    mib: u64,
    world_size: u64,
    repeats: u64,
    /// The version of NCCL, where it has summed.
    nccl: Option<String>,
}

/// Runs `lcsl bench allreduce` and returns the exit code, which is that of the ranks.
pub fn run(asked: &AllreduceBench) -> Result<u8, Fault> {
    let config = on_gpus(asked)?;
    let nproc = config.as_ref().map_or(asked.nproc.unwrap_or(2), |config| config.run.nproc);
    // mpirun is needed for one rank, too: NCCL's ranks find each other by MPI, and the bare call is MPI's.
    let (rank, libtorch) = look(&SearchPaths::here(), nproc.max(2)).complete()?;
    let inherited = Inherited::here();
    let on = LaunchEnvironment::uncontrolled(&rank, &libtorch, &inherited);
    let (mib, repeats) = (asked.mib.to_string(), asked.repeats.to_string());
    let words = ["bench-allreduce", "--mib", &mib, "--repeats", &repeats];
    if let Some(config) = config {
        let words = words.into_iter().chain(["--gpu", &asked.gpu]).map(OsString::from);
        let command = command::bench_allreduce_on_gpus(&config, &on, words.collect());
        return measure(&command, asked.json, shown);
    }
    let hosts = host_slots(&asked.hosts, 1).map_err(|problems| {
        let what = format!("--hosts cannot be used: {}", problems.join("; "));
        Fault::usage(
            what,
            "write each host once, with the number of its ranks, as in --hosts=a:4,b:4",
        )
    })?;
    let command = command::bench_allreduce(nproc, &hosts, &on, words.map(OsString::from));
    measure(&command, asked.json, shown)
}

/// The run whose ranks sum on GPUs; none for the CPU.
fn on_gpus(asked: &AllreduceBench) -> Result<Option<RunConfig>, Fault> {
    if asked.gpu.trim() == "cpu" {
        return Ok(None);
    }
    let mut flags = vec!["--dataset=synthetic".to_owned(), format!("--gpu={}", asked.gpu)];
    flags.extend(asked.nproc.map(|nproc| format!("--nproc={nproc}")));
    if !asked.hosts.is_empty() {
        flags.push(format!("--hosts={}", asked.hosts));
    }
    let flags: Vec<OsString> = flags.into_iter().map(OsString::from).collect();
    match parse_train(&flags, &machine::look()) {
        Ok(command) => Ok(Some(command.config)),
        Err(Stop::Problems(problems)) => {
            Err(Fault::several("these sums cannot be timed", &problems.0, exit::USAGE))
        }
        Err(Stop::Text(text)) => Err(Fault::usage(text, "give --gpu GPUs, such as 0,1")),
    }
}

fn shown(figures: &Figures) -> String {
    let Figures { seconds, bare_seconds, ratio, mib, world_size, repeats, nccl } = figures;
    let (ours, bare) = (seconds * 1e3, bare_seconds * 1e3);
    let sum = format!(
        "{ours:.3} ms to sum {mib} MiB of float32 over {world_size} ranks (median of {repeats}); "
    );
    let Some(version) = nccl else {
        return format!(
            "{sum}a bare MPI_Allreduce in place takes {bare:.3} ms: {ratio:.2} of its speed\n"
        );
    };
    // What nccl-tests call the bus bandwidth: a ring moves each byte 2 (W - 1) / W times.
    let ranks = *world_size as f64;
    let gigabytes =
        (*mib as f64 * f64::from(1 << 20)) * 2.0 * (ranks - 1.0) / ranks / seconds / 1e9;
    format!(
        "{sum}a bare ncclAllReduce (NCCL {version}) takes {bare:.3} ms: {ratio:.2} of its speed; bus \
         bandwidth {gigabytes:.1} GB/s\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_fit_in_a_sentence() {
        let figures = Figures {
            seconds: 0.003_312,
            bare_seconds: 0.003_3,
            ratio: 0.996,
            mib: 25,
            world_size: 2,
            repeats: 40,
            nccl: None,
        };
        insta::assert_snapshot!(shown(&figures), @"3.312 ms to sum 25 MiB of float32 over 2 ranks (median of 40); a bare MPI_Allreduce in place takes 3.300 ms: 1.00 of its speed");
    }

    #[test]
    fn figures_of_gpus_have_their_bus_bandwidth() {
        let figures = Figures {
            seconds: 0.001,
            bare_seconds: 0.000_9,
            ratio: 0.9,
            mib: 100,
            world_size: 4,
            repeats: 40,
            nccl: Some("2.28.9".into()),
        };
        insta::assert_snapshot!(shown(&figures), @"1.000 ms to sum 100 MiB of float32 over 4 ranks (median of 40); a bare ncclAllReduce (NCCL 2.28.9) takes 0.900 ms: 0.90 of its speed; bus bandwidth 157.3 GB/s");
    }
}
