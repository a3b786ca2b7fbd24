//! The figures of `result.json` and of `lcsl-rank eval`, as far as a person wants to see them.

use serde::Deserialize;

/// Accuracies in 0..1; an empty group has none.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Accuracy {
    /// Mean of per-class accuracies.
    pub all: Option<f64>,
    /// Share of images recognised.
    pub top1: Option<f64>,
    /// Classes with more than 100 training images.
    pub many: Option<f64>,
    /// Classes with 20 to 100.
    pub medium: Option<f64>,
    /// Classes with fewer than 20.
    pub few: Option<f64>,
    /// The third of the classes with most training images.
    pub head_third: Option<f64>,
    /// The third between.
    pub middle_third: Option<f64>,
    /// The third with fewest.
    pub tail_third: Option<f64>,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClassRow {
    /// Class id.
    pub class: u32,
    /// Its name.
    pub name: String,
    /// Training images.
    pub train_count: u64,
    /// Pseudo-labels of this class admitted during the run.
    pub admitted: u64,
    /// Share of its test images recognised; none without test images.
    pub accuracy: Option<f64>,
}

/// The best network with one of two classifiers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Variant {
    /// The exponent of τ-normalisation; 0 means as trained.
    pub tau: f64,
    /// By group.
    pub accuracy: Accuracy,
}

/// Images that were left out because their records are corrupt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Corrupt {
    /// Out of training, by epoch.
    pub training: Vec<u64>,
    /// Out of the validation images.
    pub validation: u64,
    /// Out of the test images.
    pub test: u64,
}

/// `RUN_DIR/result.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RunResult {
    /// By group.
    pub accuracy: Accuracy,
    /// By class.
    pub per_class: Vec<ClassRow>,
    /// Expected calibration error, 0..1; none where it could not be measured.
    pub ece: Option<f64>,
    /// τ of the selected model's classifier, to which the figures above belong; 0 means as trained.
    pub classifier_tau: f64,
    /// With the classifier as trained.
    pub as_trained: Variant,
    /// With a τ-normalised classifier.
    pub tau_normalised: Variant,
    /// `validation` or `test`: what the model was selected on.
    pub selected_on: String,
    /// `honest` or `paper`.
    pub protocol: String,
    /// `lcsl`, `mixup` or `ce`.
    pub method: String,
    /// Admission policy.
    pub policy: String,
    /// Training images.
    pub train_images: u64,
    /// Images that were left out.
    #[serde(default)]
    pub corrupt: Corrupt,
    /// Ranks.
    pub world_size: usize,
    /// Logical ranks.
    pub virtual_ranks: usize,
    /// Threads per rank.
    pub threads: usize,
    /// Optimiser steps made.
    pub steps: u64,
    /// Pseudo-labels admitted.
    pub admitted_total: u64,
    /// Training images per second over the world.
    pub images_per_second: f64,
    /// Seconds from the first step to the last evaluation.
    pub train_seconds: f64,
}

/// The answer of `lcsl-rank eval`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Evaluated {
    /// `test` or `validation`.
    pub split: String,
    /// By group.
    pub accuracy: Accuracy,
    /// Expected calibration error, 0..1.
    pub ece: Option<f64>,
    /// By class.
    pub per_class: Vec<ClassRow>,
    /// Images that were left out because their records are corrupt.
    #[serde(default)]
    pub corrupt: u64,
}
