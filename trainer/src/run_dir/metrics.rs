//! `metrics.jsonl`: one JSON object per line and event.
//!
//! Every object has `event` and `seconds` (since the run began, over all its attempts). Lines are
//! flushed, so that a reader who follows the file is at most one event behind. On resume the file
//! is cut back to what it was at the checkpoint: no step is there twice.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::RunDir;
use super::durable::{DiskContext, DiskError};

/// When a bucket was summed, in seconds since the step's first backward pass began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BucketTimes {
    /// Bytes in the bucket.
    pub bytes: usize,
    /// The hook of its last gradient ran; `end` of the backward pass on a rank without images.
    pub hook: f64,
    /// Its sum over ranks began.
    pub start: f64,
    /// Its sum over ranks was there.
    pub end: f64,
}

/// The events.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Training begins.
    Start {
        /// Training images of each class.
        train_counts: &'a [u64],
        /// Ranks.
        world_size: usize,
        /// Logical ranks.
        virtual_ranks: usize,
        /// Steps of an epoch.
        steps_per_epoch: u64,
    },
    /// Training goes on from a checkpoint.
    Resume {
        /// Epoch in which it goes on, from 0.
        epoch: u64,
        /// Optimiser steps made before.
        step: u64,
    },
    /// Some optimiser steps were made.
    Step {
        /// Epoch, from 0.
        epoch: u64,
        /// Optimiser steps made since the run began.
        step: u64,
        /// Mean loss since the last such event, per image.
        loss: f64,
        /// Learning rate.
        learning_rate: f64,
        /// Pseudo-labels admitted since the last such event.
        admitted: u64,
        /// Training images per second, over the world.
        images_per_second: f64,
        /// Seconds on this rank spent waiting for batches since the last such event.
        data_seconds: f64,
        /// In teacher, student and optimiser.
        compute_seconds: f64,
        /// With other ranks.
        collective_seconds: f64,
        /// Of the data seconds, those in which the threads that decode were behind; 0 for sets in memory.
        loader_wait_seconds: f64,
    },
    /// When the buckets of the step before were summed over ranks, on rank 0.
    Buckets {
        /// Optimiser steps made since the run began.
        step: u64,
        /// One entry for each bucket, in the order in which they are summed; seconds since the backward
        /// pass began.
        buckets: &'a [BucketTimes],
    },
    /// An epoch has ended.
    Epoch {
        /// Epoch, from 0.
        epoch: u64,
        /// Optimiser steps made since the run began.
        step: u64,
        /// Mean loss per image over the epoch.
        loss: f64,
        /// Pseudo-labels admitted in the epoch, by class.
        admitted: &'a [u64],
        /// The class that took more than half of them, if one did.
        collapse: Option<u32>,
        /// Training images that were left out because their records are corrupt, over all ranks.
        corrupt: u64,
    },
    /// Accuracy was measured.
    Evaluation {
        /// Epoch, from 0.
        epoch: u64,
        /// Optimiser steps made since the run began.
        step: u64,
        /// `validation` or `test`.
        split: &'a str,
        /// Mean of per-class accuracies, 0..1.
        accuracy: f64,
        /// Whether this model is now the best.
        selected: bool,
        /// Images that were left out because their records are corrupt, over all ranks.
        corrupt: u64,
        /// How long it took.
        evaluation_seconds: f64,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Optimiser steps made since the run began.
        step: u64,
        /// Its directory's name.
        name: &'a str,
        /// How long it took.
        checkpoint_seconds: f64,
    },
}

/// The open file.
#[derive(Debug)]
pub struct MetricsFile {
    file: File,
    path: PathBuf,
}

#[derive(Serialize)]
struct Line<'a> {
    seconds: f64,
    #[serde(flatten)]
    event: Event<'a>,
}

impl MetricsFile {
    /// Opens the file, cut back to its first `length` bytes.
    pub fn open(run_dir: &RunDir, length: u64) -> Result<Self, DiskError> {
        let path = run_dir.metrics();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .or_disk("open", &path)?;
        // A disk can lose what it promised: a file that is too short is never filled up with zeros.
        let there = file.metadata().or_disk("read", &path)?.len();
        file.set_len(length.min(there)).or_disk("cut back", &path)?;
        file.seek(SeekFrom::End(0)).or_disk("open", &path)?;
        Ok(Self { file, path })
    }

    /// Appends an event.
    pub fn write(&mut self, seconds: f64, event: Event<'_>) -> Result<(), DiskError> {
        let mut line = serde_json::to_vec(&Line { seconds, event })
            .map_err(std::io::Error::from)
            .or_disk("write", &self.path)?;
        line.push(b'\n');
        self.file.write_all(&line).or_disk("write", &self.path)
    }

    /// Bytes written so far, for the checkpoint, and on disk when this returns.
    pub fn length(&mut self) -> Result<u64, DiskError> {
        self.file.sync_data().or_disk("sync", &self.path)?;
        self.file.stream_position().or_disk("read", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resume_cuts_back_to_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let mut metrics = MetricsFile::open(&run_dir, 0).unwrap();
        metrics.write(0.5, Event::Resume { epoch: 0, step: 1 }).unwrap();
        let at_checkpoint = metrics.length().unwrap();
        metrics.write(0.7, Event::Resume { epoch: 0, step: 2 }).unwrap();
        let mut metrics = MetricsFile::open(&run_dir, at_checkpoint).unwrap();
        metrics.write(0.9, Event::Resume { epoch: 0, step: 3 }).unwrap();
        let text = std::fs::read_to_string(run_dir.metrics()).unwrap();
        assert_eq!(
            text,
            "{\"seconds\":0.5,\"event\":\"resume\",\"epoch\":0,\"step\":1}\n\
             {\"seconds\":0.9,\"event\":\"resume\",\"epoch\":0,\"step\":3}\n"
        );
    }
}
