//! Whole runs: the real launcher, real ranks under mpirun, real files.

#![allow(clippy::unwrap_used)] // whatever cannot be read or started is a failure of the test

mod corrupt;
mod differences;
mod errors;
mod gpus;
mod import;
mod interruptions;
mod lcsl;
#[path = "../../../collective/backends/tests/support/mpirun.rs"]
mod mpirun;
mod posthoc;
mod precision;
mod predictions;
mod published;
mod runs;
mod shards;
mod sums;
mod unlabelled;
