//! Why training ended before its time.

use std::path::PathBuf;

use lcsl_collective::CollectiveError;
use thiserror::Error;

use crate::data_module::DataModuleError;
use crate::engine::evaluation::evaluate::EvaluateError;
use crate::engine::step::error::StepError;
use crate::objective::EmptyClasses;
use crate::plan::SingleValue;
use crate::run_dir::durable::DiskError;

/// Why training ended before its time.
#[derive(Debug, Error)]
pub enum TrainError {
    /// There is nothing to learn from.
    #[error(transparent)]
    DataModule(#[from] DataModuleError),
    /// A class has no image, and the criterion divides by its count.
    #[error(transparent)]
    EmptyClasses(#[from] EmptyClasses),
    /// A step would leave batch normalisation a single value.
    #[error(transparent)]
    Normalisation(#[from] SingleValue),
    /// The weights to begin with cannot be used.
    #[error("{why}")]
    InitialWeights {
        /// A sentence.
        why: String,
    },
    /// A step failed.
    #[error("step {step} (epoch {epoch}): {source}")]
    Step {
        /// Optimiser steps made before.
        step: u64,
        /// Epoch, from 0.
        epoch: u64,
        /// Why.
        source: StepError,
    },
    /// An evaluation failed.
    #[error("the evaluation after epoch {epoch}: {source}")]
    Evaluate {
        /// Epoch, from 0.
        epoch: u64,
        /// Why.
        source: EvaluateError,
    },
    /// The disk did not do its part.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The ranks no longer hold the same.
    #[error("after step {step}: {source}")]
    Apart {
        /// Optimiser steps made.
        step: u64,
        /// What differs, and where.
        source: CollectiveError,
    },
    /// A checkpoint is whole, but not of this run.
    #[error("cannot go on from checkpoint {}: {why}", path.display())]
    Checkpoint {
        /// Its directory.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// There are checkpoints, and none of them is whole.
    #[error("no checkpoint of this run is whole: {}", broken.join("; "))]
    NoneWhole {
        /// What is wrong with each, a sentence; the newest first.
        broken: Vec<String>,
    },
    /// The ranks could not set up their traffic, before the first step or at the beginning of a stage.
    #[error("setting up the traffic between ranks: {0}")]
    Join(CollectiveError),
    /// The ranks could not part in good order.
    #[error("leaving the other ranks: {0}")]
    Leave(#[from] CollectiveError),
    /// A GPU was asked for.
    #[error("libtorch sees no CUDA device on this host ({why})")]
    NoDevice {
        /// Why, as far as that is known.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// The GPU is there, and cannot be used.
    #[error("GPU {ordinal} cannot be used: {why}")]
    DeviceFailed {
        /// Which, among those that this process sees.
        ordinal: usize,
        /// In libtorch's words.
        why: String,
    },
}
