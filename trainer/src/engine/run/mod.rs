//! A run from its configuration to `result.json`: built, trained, saved, compared, reported.

pub mod build;
pub mod checkpoint;
pub mod consistency;
pub mod device;
pub mod digest;
pub mod error;
pub mod failure;
mod memory;
pub mod recorder;
mod reports;
pub mod restored;
mod selection;
mod stages;
pub mod state;
mod steps;
pub mod train;
mod unlabelled;
