//! Batch scripts for Slurm, as `lcsl submit` writes them: [`job`] is what was asked for, [`script`] the text. Both are
//! pure; the files in `slurm/` are examples of the text, and a test compares them.

pub mod job;
pub mod script;
