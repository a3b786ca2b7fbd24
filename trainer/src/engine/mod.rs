//! Everything that touches libtorch.
//!
//! Begin with [`step`]: one optimiser step, every stage named in order. What it calls, in that
//! order:
//!
//! * [`batch`]: the parts of a global batch, and who supplies them; [`feed`] supplies them from a
//!   dataset, whose pixels come from a [`supply`], and go to a GPU from where they lie ([`pinned`]).
//! * [`teacher`]: labels mixed images.
//! * [`student`]: loss, backward pass, and the sums that leave a rank.
//! * [`reduction`]: how the gradients of all parts become one; [`overlap`]: while they are being made.
//! * [`sgd`]: the optimiser.
//! * [`network`]: the networks, whose parameters lie in one flat buffer ([`flat`]).
//! * [`shim`]: what tch lacks, in C++.
//!
//! Around the steps: [`run`] builds what a run consists of, [`cuda`] finds out about GPUs, [`train`] is
//! the loop, [`evaluate`] measures, [`checkpoint`] saves and restores, [`journal`] reports, [`failure`]
//! explains, [`digest`] makes weights comparable, [`compare`] compares them between ranks, [`inspect`]
//! serves `lcsl eval` and `lcsl export`, [`bench`] times steps.

pub mod batch;
pub mod bench;
pub mod checkpoint;
mod chunks;
pub mod compare;
pub mod cuda;
pub mod digest;
pub mod evaluate;
pub mod failure;
pub mod feed;
pub mod flat;
pub mod inspect;
pub mod journal;
pub mod network;
pub mod overlap;
pub mod pinned;
pub mod reduction;
pub mod run;
pub mod sgd;
pub mod shim;
pub mod step;
pub mod student;
pub mod supply;
pub mod teacher;
pub mod train;
