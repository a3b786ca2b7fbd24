//! `result.json`: the figures of a finished run; and those that `lcsl eval` measures again.

use serde::{Deserialize, Serialize};

/// Accuracies in 0..1. Groups are means over their classes; an empty group is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Mean of per-class accuracies over the classes that have test images.
    pub all: Option<f64>,
    /// Share of images recognised.
    pub top1: Option<f64>,
    /// Classes with more than `evaluation.many_above` (100) training images.
    pub many: Option<f64>,
    /// Classes with 20 to 100.
    pub medium: Option<f64>,
    /// Classes with fewer than `evaluation.few_below` (20).
    pub few: Option<f64>,
    /// The third of the classes with most training images.
    pub head_third: Option<f64>,
    /// The third between.
    pub middle_third: Option<f64>,
    /// The third with fewest.
    pub tail_third: Option<f64>,
}

/// One class in `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    /// Class id.
    pub class: u32,
    /// Its name.
    pub name: String,
    /// Training images.
    pub train_count: u64,
    /// Pseudo-labels of this class admitted during the run.
    pub admitted: u64,
    /// Test images.
    pub test_count: u64,
    /// Share of them recognised; null without test images.
    pub accuracy: Option<f64>,
}

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
    /// Images that were skipped in these figures because their records are corrupt
    /// (`data.on_corrupt`).
    #[serde(default)]
    pub corrupt: u64,
}

/// Images that were skipped because their records are corrupt, over all ranks (`data.on_corrupt`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Corrupt {
    /// Out of training, by epoch.
    pub training: Vec<u64>,
    /// Out of the validation images, when they were last measured.
    pub validation: u64,
    /// Out of the test images.
    pub test: u64,
}

/// A τ that was tried, of τ-normalisation or logit adjustment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TriedTau {
    /// The exponent, or the factor.
    pub tau: f64,
    /// Balanced accuracy on the validation images, 0..1.
    pub accuracy: f64,
}

/// The best network with one of its classifiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// The exponent of τ-normalisation (Kang et al., ICLR 2020), or the factor of logit adjustment; 0 means as trained.
    pub tau: f64,
    /// By group, on the test set.
    pub accuracy: Accuracy,
    /// Expected calibration error, 0..1.
    pub ece: f64,
}

/// Temperature scaling (Guo et al., ICML 2017): probabilities of logits that are divided by one number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// That number: of those between 1/256 and 256, the one under which validation images are likeliest.
    pub temperature: f64,
    /// Expected calibration error on the test set, 0..1, with it.
    pub ece: f64,
    /// By group.
    pub ece_groups: GroupErrors,
}

/// Expected calibration errors, 0..1, over the test images of the classes of each group; null for an empty group.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct GroupErrors {
    /// Classes with more than 100 training images.
    pub many: Option<f64>,
    /// Classes with 20 to 100.
    pub medium: Option<f64>,
    /// Classes with fewer than 20.
    pub few: Option<f64>,
}

/// Unlabelled images of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlabelledTotals {
    /// How many there are.
    pub images: u64,
    /// How many were admitted, by the class of their label; one that was admitted in several epochs counts in each.
    pub admitted: Vec<u64>,
    /// Those of them whose label is their true class; null where nobody knows.
    pub right: Option<Vec<u64>>,
}

/// What a model says of pictures: the answer of `lcsl predict --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Those that could be read, in the order in which they were named.
    pub images: Vec<PredictedImage>,
    /// Those that could not.
    pub refused: Vec<RefusedImage>,
}

/// What a model says of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictedImage {
    /// Its path.
    pub image: String,
    /// The most likely classes, the likeliest first.
    pub classes: Vec<ClassProbability>,
}

/// How likely a class is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassProbability {
    /// Class id.
    pub class: u32,
    /// Its name.
    pub name: String,
    /// Softmax probability, 0..1.
    pub probability: f64,
}

/// A picture that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedImage {
    /// Its path.
    pub image: String,
    /// Why, in words that go on after the path.
    pub why: String,
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
    /// By group.
    #[serde(default)]
    pub ece_groups: GroupErrors,
    /// The same with a temperature; nothing in protocol `paper`, which has no validation images.
    #[serde(default)]
    pub calibrated: Option<Calibrated>,
    /// τ of the selected model's classifier: 0 for as trained. Chosen on the validation images in
    /// protocol `honest`; always 0 in `paper`.
    pub classifier_tau: f64,
    /// τ · ln n of each class's training images is taken from its logits (Menon et al., ICLR 2021); 0 for nothing.
    #[serde(default)]
    pub classifier_adjustment: f64,
    /// The best network with its classifier as trained.
    pub as_trained: Variant,
    /// The best network with a τ-normalised classifier.
    pub tau_normalised: Variant,
    /// The exponents of which the one of `tau_normalised` was chosen; empty where none were tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tau_sweep: Vec<TriedTau>,
    /// The best network with adjusted logits, where that was tried; `tau` is the factor of ln n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusted: Option<Variant>,
    /// The factors of which the one of `adjusted` was chosen; empty where none were tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustment_sweep: Vec<TriedTau>,
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
    /// `lcsl`, `mixup`, or the word of a criterion.
    pub method: String,
    /// The loss of a target, such as `ce`; empty where an older version wrote the result.
    #[serde(default)]
    pub criterion: String,
    /// How images were mixed: `none`, `mixup` or `cutmix`; empty where an older version wrote the result.
    #[serde(default)]
    pub mixing: String,
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
    /// Images that were skipped.
    #[serde(default)]
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
    /// The most memory that a rank had at a time, since the run was begun or gone on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<PeakMemory>,
    /// Digest of the selected model: of what `lcsl export` writes.
    pub weights_digest: String,
    /// Digest of the student after the last step.
    pub last_weights_digest: String,
    /// Digest of every admission decision.
    pub admission_digest: String,
    /// Unlabelled images; nothing where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<UnlabelledTotals>,
}

/// The most memory that any rank had at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakMemory {
    /// Bytes of its host, as the system counts them for a process (resident, shared pages included).
    pub host_bytes: u64,
    /// Bytes of its GPU that tensors had; 0 on the CPU. CUDA itself, and what libtorch keeps, are not counted.
    pub gpu_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without `corrupt`, as versions before `--on_corrupt` wrote it, and with a key of a later one.
    const TEXT: &str = r#"{
        "version": "0.1.0", "later": 1, "accuracy": {"all": 0.5, "top1": 0.5, "many": null,
        "medium": null, "few": null, "head_third": null, "middle_third": null, "tail_third": null},
        "per_class": [{"class": 0, "name": "a", "train_count": 1, "admitted": 0, "test_count": 0,
        "accuracy": null}], "ece": 0.1, "classifier_tau": 0.0,
        "as_trained": {"tau": 0.0, "accuracy": {"all": 0.5, "top1": null, "many": null,
        "medium": null, "few": null, "head_third": null, "middle_third": null,
        "tail_third": null}, "ece": 0.1},
        "tau_normalised": {"tau": 1.9, "accuracy": {"all": 0.5, "top1": null, "many": null,
        "medium": null, "few": null, "head_third": null, "middle_third": null,
        "tail_third": null}, "ece": 0.1},
        "selected_on": "validation", "selected_epoch": 3, "selected_accuracy": 0.5,
        "unscored_classes": [], "protocol": "honest", "method": "ce", "policy": "quota",
        "dataset": "synthetic", "model": "resnet20", "seed": 0, "train_images": 1, "world_size": 1,
        "virtual_ranks": 1, "threads": 1, "steps": 1, "admitted_total": 0, "images_per_second": 1.5,
        "train_seconds": 0.1, "weights_digest": "a", "last_weights_digest": "b",
        "admission_digest": "c"}"#;

    #[test]
    fn what_was_written_is_read_and_written_the_same() {
        let result: RunResult = serde_json::from_str(TEXT).unwrap();
        assert_eq!((result.per_class[0].accuracy, result.accuracy.all), (None, Some(0.5)));
        assert_eq!(result.corrupt, Corrupt::default());
        let text = serde_json::to_string(&result).unwrap();
        assert_eq!(serde_json::from_str::<RunResult>(&text).unwrap(), result);
    }
}
