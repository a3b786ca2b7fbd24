//! Batches as tensors: what a logical rank trains on, and what a model is measured on.

pub mod eval_set;
pub mod local_batch;
pub mod normaliser;
pub mod pinned;
pub mod train_batches;
pub mod train_loader;
pub mod unlabelled;
