//! The ranks: what has to be installed for them ([`programs`], [`libtorch`]), the [`command`] that
//! starts them, and the [`group`] of them that works on one run.

pub mod command;
pub mod group;
pub mod libtorch;
pub mod programs;
