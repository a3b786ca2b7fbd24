//! From a dataset's folder to a plan: a file for each kind.

pub mod folder;
pub mod inaturalist;
mod lists;
pub mod long_tail;
pub mod synthetic;

pub use lists::{List, git_blob};
