//! Training on several hosts, over ssh and under Slurm, on a cluster that lives on this machine (`scripts/cluster.sh`).
//!
//! They need root, sshd and Slurm, so they are ignored unless `LCSL_CLUSTER=1` says that these are there; then a lack
//! is a failure. `make test-cluster` installs them and says so.

#![allow(clippy::unwrap_used)] // whatever cannot be read or started is a failure of the test

mod cluster;
mod disk;
#[path = "../end_to_end/lcsl.rs"]
#[allow(dead_code)] // the tests of one host use the rest of it
mod lcsl;
mod slurm;
mod ssh;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use cluster::Cluster;

const LACKING: &str = "needs root, sshd and Slurm: `make test-cluster` installs them";

/// A test on a cluster.
type Test = fn(&Cluster);

fn main() -> ExitCode {
    let tests: Vec<(&str, Test)> =
        ssh::TESTS.iter().chain(disk::TESTS).chain(slurm::TESTS).copied().collect();
    let is_there = std::env::var_os("LCSL_CLUSTER").is_some();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // there is one cluster
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if !is_there {
                return Ok(Completion::ignored_with(LACKING));
            }
            test(&Cluster::up());
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
