//! The program `lcsl` as a person meets it: what it refuses, with which words and exit code, and
//! how it lives with its ranks. The ranks and mpirun are played by scripts in `fakes/`, so neither
//! libtorch nor MPI is needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has to fail there")]

#[cfg(feature = "data")]
mod datasets;
#[cfg(feature = "data")]
mod fetching;
mod inspection;
mod lives;
mod refusals;
mod stage;
