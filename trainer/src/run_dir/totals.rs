//! What a run adds up on its way, and a checkpoint remembers.

use lcsl_run_dir::event::LabelsOfEpoch;
use serde::{Deserialize, Serialize};

use crate::admission::BesideStudent;

/// Sums over a run, over all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RunningTotals {
    /// Seconds since the first step, waits between attempts left out.
    pub seconds: f64,
    /// Seconds of them spent in optimiser steps.
    pub step_seconds: f64,
    /// Training images seen.
    pub images: u64,
    /// Sum over this epoch's steps of loss × images.
    pub epoch_loss: f64,
    /// Training images seen in this epoch.
    pub epoch_images: u64,
}

/// How many unlabelled images were admitted, by the class of their label; empty where there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlabelledCounts {
    /// Admitted in this epoch.
    pub epoch: Vec<u64>,
    /// Admitted since the run began.
    pub total: Vec<u64>,
    /// Of those of this epoch, those whose label is their true class.
    pub right_in_epoch: Vec<u64>,
    /// The same since the run began.
    pub right: Vec<u64>,
}

impl UnlabelledCounts {
    /// Whether nothing was counted yet.
    pub fn is_empty(&self) -> bool {
        self.total.is_empty()
    }

    /// Nothing of so many classes.
    pub fn none(classes: usize) -> Self {
        let zeros = || vec![0; classes];
        Self { epoch: zeros(), total: zeros(), right_in_epoch: zeros(), right: zeros() }
    }

    /// Counts an image that was admitted under `label`; whether that is right is nothing where nobody knows.
    pub fn count(&mut self, label: u32, is_right: Option<bool>) {
        let class = label as usize;
        self.epoch[class] += 1;
        self.total[class] += 1;
        let right = u64::from(is_right == Some(true));
        self.right_in_epoch[class] += right;
        self.right[class] += right;
    }

    /// Forgets the epoch.
    pub fn begin_epoch(&mut self) {
        self.epoch.fill(0);
        self.right_in_epoch.fill(0);
    }
}

/// What the teacher's labels are like in the epoch at hand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelCounts {
    /// The epoch after which the teacher was made, from 0; none before there is one, or where it moves with each step.
    pub teacher_epoch: Option<u64>,
    /// Candidates that passed the gate, by the class of their label; empty while there are none.
    pub passing: Vec<u64>,
    /// Mixed images that were admitted under one of their two mixed classes.
    pub agreeing: u64,
    /// The labels beside what the student says of the same images.
    #[serde(default)]
    pub student: BesideStudent,
}

impl LabelCounts {
    /// What `metrics.jsonl` says of an epoch; nothing where nobody has labelled.
    pub fn of_epoch(&self, epoch: u64) -> Option<LabelsOfEpoch<'_>> {
        let Self { teacher_epoch, passing, agreeing, student } = self;
        let BesideStudent { alike, compared } = *student;
        (!passing.is_empty()).then(|| LabelsOfEpoch {
            teacher_age: teacher_epoch.map(|made| epoch - made),
            passing,
            agreeing: *agreeing,
            student_agreement: (compared > 0).then(|| alike as f64 / compared as f64),
        })
    }

    /// Adds those of a step.
    pub fn count(&mut self, passing: &[u64], agreeing: u64, student: BesideStudent) {
        self.student += student;
        self.passing.resize(passing.len().max(self.passing.len()), 0);
        self.passing.iter_mut().zip(passing).for_each(|(sum, count)| *sum += count);
        self.agreeing += agreeing;
    }

    /// Forgets the epoch.
    pub fn begin_epoch(&mut self) {
        self.passing.fill(0);
        self.agreeing = 0;
        self.student = BesideStudent::default();
    }
}
