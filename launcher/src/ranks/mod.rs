//! The ranks: what has to be installed for them ([`programs`], [`libtorch`]), the [`command`] that
//! starts them and its [`environment`], ranks that [`answer`] a question, and the [`group`] that trains
//! and first sweeps up [`leftovers`] of those that were killed.

pub mod answer;
pub mod command;
pub mod environment;
pub mod group;
pub mod leftovers;
pub mod libtorch;
pub mod programs;
