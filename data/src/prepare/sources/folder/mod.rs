//! Any images, a folder for each class.
//!
//! 1. [`plan()`]: from the folder to a plan.
//! 2. `hold_out`: the test and validation images that training must not see.

mod hold_out;
mod plan;

pub use hold_out::TEST_SHARE;
pub use plan::plan;
