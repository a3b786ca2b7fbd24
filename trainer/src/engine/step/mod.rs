//! One optimiser step. Begin with [`step`], the walk; the rest in the order in which it is met:
//!
//! * [`teacher`]: labels mixed images; `candidates`: who of them is admitted.
//! * [`pass`]: forward and backward over all logical batches, and the sums over ranks.
//! * [`forward_backward`]: one logical batch; [`criterion`]: the loss of a target.
//! * [`sums`]: what is added up besides gradients; [`started`]: when the host reads what a step came to.
//! * `optimise`: what the gradient does to the parameters.
//! * [`context`]: what a rank holds; [`report`]: what a step did; [`error`]: why it could not.

mod candidates;
pub mod context;
pub mod criterion;
pub mod error;
pub mod forward_backward;
mod optimise;
pub mod pass;
pub mod report;
pub mod started;
#[allow(clippy::module_inception)] // the walk bears the name of its room
pub mod step;
pub mod sums;
pub mod teacher;
