//! `lcsl bench allreduce`: how long a sum over ranks takes.

use std::ffi::OsString;
use std::ops::RangeInclusive;

use clap::Args;
use clap::builder::TypedValueParser;
use lcsl_config::host_slots;
use serde::Deserialize;

use crate::fault::Fault;
use crate::ranks::answer::measure;
use crate::ranks::command;
use crate::ranks::environment::{Inherited, LaunchEnvironment};
use crate::ranks::programs::{SearchPaths, look};

/// Arguments of `lcsl bench allreduce`.
#[derive(Debug, Args)]
pub struct AllreduceBench {
    /// Ranks
    #[arg(long, default_value_t = 2, value_parser = counted(1..=65_536))]
    pub nproc: usize,
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
}

/// Runs `lcsl bench allreduce` and returns the exit code, which is that of the ranks.
pub fn run(asked: &AllreduceBench) -> Result<u8, Fault> {
    // mpirun is needed for one rank, too: the bare call is MPI's.
    let (rank, libtorch) = look(&SearchPaths::here(), asked.nproc.max(2)).complete()?;
    let inherited = Inherited::here();
    let on = LaunchEnvironment::uncontrolled(&rank, &libtorch, &inherited);
    let (mib, repeats) = (asked.mib.to_string(), asked.repeats.to_string());
    let words = ["bench-allreduce", "--mib", &mib, "--repeats", &repeats];
    let hosts = host_slots(&asked.hosts, 1).map_err(|problems| {
        let what = format!("--hosts cannot be used: {}", problems.join("; "));
        Fault::usage(
            what,
            "write each host once, with the number of its ranks, as in --hosts=a:4,b:4",
        )
    })?;
    let command = command::bench_allreduce(asked.nproc, &hosts, &on, words.map(OsString::from));
    measure(&command, asked.json, shown)
}

fn shown(figures: &Figures) -> String {
    let Figures { seconds, bare_seconds, ratio, mib, world_size, repeats } = figures;
    let (ours, bare) = (seconds * 1e3, bare_seconds * 1e3);
    format!(
        "{ours:.3} ms to sum {mib} MiB of float32 over {world_size} ranks (median of {repeats}); \
         a bare MPI_Allreduce in place takes {bare:.3} ms: {ratio:.2} of its speed\n"
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
        };
        insta::assert_snapshot!(shown(&figures), @"3.312 ms to sum 25 MiB of float32 over 2 ranks (median of 40); a bare MPI_Allreduce in place takes 3.300 ms: 1.00 of its speed");
    }
}
