//! What a run leaves behind.
//!
//! ```text
//! RUN_DIR/
//!   config.toml       the merged configuration and where each value came from      (launcher)
//!   ranks.json        which rank ran where                                          (launcher)
//!   metrics.jsonl     a line per event, flushed                                     rank 0, [`metrics`]
//!   checkpoints/      step-0000000924/ {model.safetensors, manifest.json}, …        rank 0, [`checkpoints`]
//!   result.json       accuracies and digests, once training has ended               rank 0, [`result`]
//!   logs/rank-N.log   what rank N printed
//! ```

pub mod checkpoints;
pub mod durable;
pub mod metrics;
pub mod result;

use std::path::{Path, PathBuf};

/// The directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// The run in this directory, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The merged configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// The events.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// The final figures.
    pub fn result(&self) -> PathBuf {
        self.root.join("result.json")
    }

    /// Where checkpoints lie.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// What a rank prints.
    pub fn log(&self, rank: usize) -> PathBuf {
        self.root.join("logs").join(format!("rank-{rank}.log"))
    }
}
