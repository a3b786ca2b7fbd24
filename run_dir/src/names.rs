//! The files of a run directory.
//!
//! ```text
//! RUN_DIR/
//!   lock                    held while a launcher is at work here; its text says which      (launcher)
//!   config.toml             the merged configuration and where each value came from         (launcher)
//!   init.safetensors        the weights that `lcsl posthoc` begins with                     (rank, before the run)
//!   ranks.json              which rank ran where                                             (launcher)
//!   metrics.jsonl           a line per event, flushed                                        (rank 0)
//!   checkpoints/            step-0000000924/ {model.safetensors, manifest.json, …}, …           (rank 0)
//!   result.json             accuracies and digests, once training has ended                  (rank 0)
//!   logs/rank-N.log         what rank N printed                                              (rank N)
//!   logs/PROGRAM.log        what the started program printed: mpirun, or the only rank       (launcher)
//! ```

use std::path::{Path, PathBuf};

/// The merged configuration, with the origin of each value.
pub const CONFIG: &str = "config.toml";

/// Held while a launcher is at work in the directory.
pub const LOCK: &str = "lock";

/// The weights that `lcsl posthoc` begins with.
pub const INIT: &str = "init.safetensors";

/// The folder of everything that was printed.
pub const LOGS: &str = "logs";

/// The final figures.
pub const RESULT: &str = "result.json";

/// Name of the file of events.
pub const METRICS: &str = "metrics.jsonl";
/// A checkpoint's tensors.
pub const TENSORS: &str = "model.safetensors";

/// A checkpoint's manifest: everything else, and the digest of the tensors.
pub const MANIFEST: &str = "manifest.json";

/// blake3 of a checkpoint's manifest, as the program `b3sum` writes and checks it.
pub const MANIFEST_DIGEST: &str = "manifest.json.b3";

/// Begins the name of every whole checkpoint.
const CHECKPOINT: &str = "step-";

/// The name of the checkpoint after so many optimiser steps: ten digits, so that the order of names is
/// the order of steps.
pub fn checkpoint(step: u64) -> String {
    format!("{CHECKPOINT}{step:010}")
}

/// Whether a name in the folder of checkpoints is that of a checkpoint. What is being written there has
/// a hidden name.
pub fn is_checkpoint(name: &str) -> bool {
    name.starts_with(CHECKPOINT)
}

/// Where the files of one run are.
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

    /// The lock of the launcher that is at work here.
    pub fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    /// The merged configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join(CONFIG)
    }

    /// Which rank ran where.
    pub fn ranks(&self) -> PathBuf {
        self.root.join("ranks.json")
    }

    /// The events.
    pub fn metrics(&self) -> PathBuf {
        self.root.join(METRICS)
    }

    /// The final figures.
    pub fn result(&self) -> PathBuf {
        self.root.join(RESULT)
    }

    /// Where checkpoints lie.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Where everything lies that was printed.
    pub fn logs(&self) -> PathBuf {
        self.root.join(LOGS)
    }

    /// What a rank prints.
    pub fn log(&self, rank: usize) -> PathBuf {
        self.logs().join(format!("rank-{rank}.log"))
    }

    /// What the started program prints itself.
    pub fn log_of(&self, program: &Path) -> PathBuf {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        self.logs().join(format!("{name}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_checkpoints_stand_in_the_order_of_steps() {
        let names = [0, 9, 10, 924, 1_000_000].map(checkpoint);
        assert!(names.is_sorted() && names.iter().all(|name| is_checkpoint(name)), "{names:?}");
        assert_eq!(names[3], "step-0000000924");
        assert!(!is_checkpoint(".step-0000000924.tmp"), "it is being written");
    }

    #[test]
    fn the_log_of_a_program_has_its_name() {
        let run_dir = RunDir::at("runs/a");
        assert_eq!(
            run_dir.log_of(Path::new("/opt/lcsl-rank")),
            Path::new("runs/a/logs/lcsl-rank.log")
        );
        assert_eq!(run_dir.log(3), Path::new("runs/a/logs/rank-3.log"));
    }
}
