//! `[checkpoint]`: when the state is saved, and how much of it is kept.

use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// When the state is saved, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Steps between two checkpoints; 0 counts none. Every evaluation is followed by one, too.
    pub every_steps: u64,
    /// Minutes between two checkpoints; 0 counts none.
    pub every_minutes: u64,
    /// Number of newest checkpoints that stay on disk beside the best one, at least 1.
    pub keep_last: usize,
    /// What happens when one cannot be written.
    pub on_failure: OnFailedCheckpoint,
}

choice! {
    /// What happens when a checkpoint cannot be written. It is said in either case.
    OnFailedCheckpoint {
        /// The run ends.
        Stop = "stop",
        /// Training goes on from what it holds in memory, and the next one is tried.
        Warn = "warn",
    }
}
