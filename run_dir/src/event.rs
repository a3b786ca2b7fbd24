//! The lines of `metrics.jsonl`: one JSON object per line and event.
//!
//! Every object has `event` and `seconds` (since the run began, over all its attempts).

use serde::Serialize;

/// When a bucket was summed, in seconds since the step's first backward pass began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BucketSpan {
    /// Bytes in the bucket.
    pub bytes: usize,
    /// The hook of its last gradient ran; `end` of the backward pass on a rank without images.
    pub hook: f64,
    /// Its sum over ranks began.
    pub start: f64,
    /// Its sum over ranks was there.
    pub end: f64,
}

/// Unlabelled images that were admitted in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UnlabelledEpoch<'a> {
    /// How many, by the class of their label.
    pub admitted: &'a [u64],
    /// Those of them whose label is their true class; null where nobody knows.
    pub right: Option<&'a [u64]>,
}

/// What the teacher's labels of an epoch were like.
#[derive(Debug, Serialize)]
pub struct LabelsOfEpoch<'a> {
    /// Epochs since the teacher's weights were those of the student; null where they move with each step.
    pub teacher_age: Option<u64>,
    /// Candidates that passed the gate, by the class of their label.
    pub passing: &'a [u64],
    /// Mixed images that were admitted under one of the two classes that were mixed.
    pub agreeing: u64,
    /// Part of the labels that the student, learning their images, gives too: of all mixed images, and of the
    /// unlabelled ones that were admitted; null where it learnt none.
    pub student_agreement: Option<f64>,
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
    /// Newer checkpoints than the one that training goes on from are broken.
    PassedOver {
        /// Optimiser steps made before the one that it goes on from.
        step: u64,
        /// What is wrong with each, the newest first.
        checkpoints: &'a [String],
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
        buckets: &'a [BucketSpan],
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
        /// Training images that were skipped because their records are corrupt, over all ranks.
        corrupt: u64,
        /// What the teacher's labels were like, where one has labelled.
        #[serde(skip_serializing_if = "Option::is_none")]
        labels: Option<LabelsOfEpoch<'a>>,
        /// Unlabelled images among the admitted, where there are unlabelled images.
        #[serde(skip_serializing_if = "Option::is_none")]
        unlabelled: Option<UnlabelledEpoch<'a>>,
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
        /// Images that were skipped because their records are corrupt, over all ranks.
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
        /// How long training stood still for it, while it was copied.
        stall_seconds: f64,
        /// How long it took until it was on disk.
        checkpoint_seconds: f64,
    },
    /// A checkpoint could not be written, and training goes on.
    CheckpointFailed {
        /// Optimiser steps made since the run began.
        step: u64,
        /// What the disk said.
        why: &'a str,
    },
}

/// A line: an event, and when it happened.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// Seconds since the run began, over all its attempts.
    pub seconds: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: &'a Event<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_its_time_and_names_its_event() {
        let span = BucketSpan { bytes: 4, hook: 0.1, start: 0.2, end: 0.3 };
        let event = Event::Buckets { step: 7, buckets: &[span] };
        let line = Line { seconds: 0.5, event: &event };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"seconds":0.5,"event":"buckets","step":7,"buckets":[{"bytes":4,"hook":0.1,"start":0.2,"end":0.3}]}"#
        );
    }
}
