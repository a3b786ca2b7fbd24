//! The ranks: what has to be installed for them ([`programs`], [`libtorch`]), the [`command`] that
//! starts them and its [`environment`], ranks that [`answer`] a question, and the [`group`] that trains.

pub mod answer;
pub mod command;
pub mod environment;
pub mod group;
pub mod libtorch;
pub mod programs;
