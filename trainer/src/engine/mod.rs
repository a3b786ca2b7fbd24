//! Everything that touches libtorch.
//!
//! Begin with [`step::step`]: one optimiser step, every stage named in order. The rooms, in the order
//! in which it meets them:
//!
//! * [`data`]: batches as tensors. A logical rank's share of a batch, who supplies it, the loader
//!   behind it, memory that a GPU reads by itself; and the images that a model is measured on.
//! * [`step`]: the walk; the teacher; forward and backward pass of the student.
//! * [`gradients`]: how the gradients of all logical ranks become one.
//! * [`optim`]: the optimiser.
//! * [`network`]: the networks, whose parameters lie in one flat buffer.
//! * [`native`]: what tch lacks, in C++.
//!
//! Around the steps: [`run`] builds a run, trains, saves, compares and reports; [`evaluation`] measures
//! models; [`cuda`] finds out about GPUs, over which [`gpu_sums`] sums; [`host`] is what the host reads of them;
//! [`bench`] times steps.

pub mod bench;
pub mod cuda;
pub mod data;
pub mod evaluation;
pub mod gpu_sums;
pub mod gradients;
pub mod host;
pub mod native;
pub mod network;
pub mod optim;
pub mod run;
pub mod step;
