//! Measuring a model: during a run, at its end, and afterwards for `lcsl eval`, `lcsl predict` and `lcsl export`.

mod classifier;
pub mod eval;
pub mod evaluate;
pub mod export;
pub mod final_figures;
pub mod predict;
pub mod saved_model;
mod temperature;
