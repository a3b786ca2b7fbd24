//! `result.json`: the figures of a finished run.

use serde::{Deserialize, Serialize};

use crate::metrics::{Accuracy, ClassRow};

/// Accuracies on one set of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// `test` or `validation`.
    pub split: String,
    /// By group.
    pub accuracy: Accuracy,
    /// Expected calibration error, 0..1.
    pub ece: f64,
    /// By class.
    pub per_class: Vec<ClassRow>,
    /// Images that were left out of these figures because their records are corrupt
    /// (`data.on_corrupt`).
    pub corrupt: u64,
}

/// Images that were left out because their records are corrupt, over all ranks (`data.on_corrupt`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrupt {
    /// Out of training, by epoch.
    pub training: Vec<u64>,
    /// Out of the validation images, when they were last measured.
    pub validation: u64,
    /// Out of the test images.
    pub test: u64,
}

/// The best network with one of two classifiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// The exponent of τ-normalisation (Kang et al., ICLR 2020); 0 means as trained.
    pub tau: f64,
    /// By group, on the test set.
    pub accuracy: Accuracy,
    /// Expected calibration error, 0..1.
    pub ece: f64,
}

/// All of `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Version of the program.
    pub version: String,
    /// By group, on the test set, of the selected model, logits averaged with the mirror image.
    pub accuracy: Accuracy,
    /// By class.
    pub per_class: Vec<ClassRow>,
    /// Expected calibration error on the test set, 0..1.
    pub ece: f64,
    /// τ of the selected model's classifier: 0 for as trained. Chosen on the validation images in
    /// protocol `honest`; always 0 in `paper`.
    pub classifier_tau: f64,
    /// The best network with its classifier as trained.
    pub as_trained: Variant,
    /// The best network with a τ-normalised classifier.
    pub tau_normalised: Variant,
    /// What the model was selected on: `validation` or, in protocol `paper`, `test`.
    pub selected_on: String,
    /// Epoch after which the selected model was measured, from 0.
    pub selected_epoch: u64,
    /// Its accuracy there.
    pub selected_accuracy: f64,
    /// Classes left out of the selection score because they have no image to spare.
    pub unscored_classes: Vec<u32>,
    /// `honest` or `paper`.
    pub protocol: String,
    /// `lcsl`, `mixup` or `ce`.
    pub method: String,
    /// Admission policy.
    pub policy: String,
    /// Dataset.
    pub dataset: String,
    /// Network.
    pub model: String,
    /// Seed.
    pub seed: u64,
    /// Training images.
    pub train_images: u64,
    /// Ranks.
    pub world_size: usize,
    /// Logical ranks.
    pub virtual_ranks: usize,
    /// libtorch threads of each rank.
    pub threads: usize,
    /// Images that were left out.
    pub corrupt: Corrupt,
    /// Optimiser steps made.
    pub steps: u64,
    /// Pseudo-labels admitted.
    pub admitted_total: u64,
    /// Training images per second while training, over the world, evaluations and checkpoints left
    /// out.
    pub images_per_second: f64,
    /// Seconds from the first step to the last evaluation, over all attempts of the run.
    pub train_seconds: f64,
    /// Digest of the selected model: of what `lcsl export` writes.
    pub weights_digest: String,
    /// Digest of the student after the last step.
    pub last_weights_digest: String,
    /// Digest of every admission decision.
    pub admission_digest: String,
}
