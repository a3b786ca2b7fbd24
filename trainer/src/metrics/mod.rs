//! How good a model is: pure counting, exact in any order and over any number of ranks.
//!
//! * [`confusion`]: which classes were taken for which.
//! * [`calibration`]: whether confidence means what it says.
//! * [`temperature`]: what logits are divided by so that it does.
//! * [`report`]: the accuracies of `result.json`.

pub mod calibration;
pub mod confusion;
pub mod report;
pub mod temperature;

pub use calibration::{Calibration, GroupedCalibration};
pub use confusion::Confusion;
