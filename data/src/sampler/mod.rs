//! The order of an epoch, one position at a time.
//!
//! An [`EpochOrder`] maps each position of an epoch to an index without ever writing the permutation
//! down: it can be asked for any position first, and so resuming in the middle of an epoch needs
//! nothing but the position. A [`Sampler`] makes the order of each epoch. An epoch is always as
//! long as there are training images; who reads which positions is not decided here.
//!
//! - `keyed`: a random permutation that takes no memory;
//! - `blocks`: its quasi-random sister, for disks that like to read in order;
//! - `resampled`: classes drawn more or less often than they have images;
//! - `kind`: the samplers by name.

mod blocks;
mod keyed;
mod kind;
mod order;
mod resampled;

pub use kind::{Sampler, SamplerKind};
pub use order::EpochOrder;
