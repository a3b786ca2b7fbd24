//! What rank 0 leaves behind, on disk: what writes and reads it, so that it is there whole or not at
//! all. What lies where, and what it says, is the contract `lcsl_run_dir`, which the launcher reads too.
//!
//! * [`durable`]: files that are there whole or not at all.
//! * [`metrics`]: `metrics.jsonl`, which is cut back on resume.
//! * [`checkpoints`]: `checkpoints/`, and the manifest of each. [`checkpoint_writer`]: the thread that writes them.

pub mod checkpoint_writer;
pub mod checkpoints;
pub mod durable;
pub mod metrics;
pub mod totals;

pub use lcsl_run_dir::RunDir;
