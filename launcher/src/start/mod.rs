//! Everything before the ranks run: what has to be there, and the command that starts them.

pub mod command;
pub mod libtorch;
pub mod programs;
