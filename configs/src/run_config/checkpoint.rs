//! `[checkpoint]`: when the state is saved, and how much of it is kept.

use serde::{Deserialize, Serialize};

/// When the state is saved, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Steps between two checkpoints; 0 saves at evaluations only.
    pub every_steps: u64,
    /// Number of newest checkpoints that stay on disk beside the best one, at least 1.
    pub keep_last: usize,
}
