//! What a rank can be started for, a file for each command, its arguments with it.
//!
//! [`start`] is what commands have in common before they begin, [`refusal`] how they say that they
//! cannot.

pub(crate) mod bench_allreduce;
pub(crate) mod bench_step;
pub(crate) mod eval;
pub(crate) mod export;
mod refusal;
mod staging;
mod start;
pub(crate) mod train;
