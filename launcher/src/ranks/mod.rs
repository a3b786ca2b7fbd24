//! The ranks: what has to be installed for them ([`programs`], [`libtorch`]), the [`command`] that
//! starts them and its [`environment`], the hosts of an [`allocation`], the [`interface`] between hosts and where ranks
//! were [`placed`], ranks that [`answer`] a question, and the [`group`] that trains, first sweeps up [`leftovers`]
//! of those that were killed, and goes on with the hosts that are [`survivors`].

pub mod allocation;
pub mod answer;
pub mod command;
pub mod environment;
pub mod group;
pub mod interface;
pub mod leftovers;
pub mod libtorch;
pub mod placed;
pub mod programs;
pub mod survivors;
pub mod watched;
