//! The program `lcsl` as a person meets it: what it refuses, with which words and exit code, and
//! what it makes of its ranks. The ranks and mpirun are played by scripts in `fakes/`, so neither
//! libtorch nor MPI is needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has to fail there")]

mod attempts;
#[cfg(feature = "data")]
mod datasets;
mod eval_export_bench;
#[cfg(feature = "data")]
mod fetching;
mod locks;
mod refusals;
mod stage;
mod sweeps;
