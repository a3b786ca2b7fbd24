//! `[evaluation]`: how accuracy is measured.

use serde::{Deserialize, Serialize};

/// How accuracy is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Images per forward pass, at least 1: memory and speed; logits can move in their last bits.
    pub batch_size: usize,
    /// Whether the final evaluation averages the logits of an image and its mirror image.
    pub tta: bool,
    /// The exponent of τ-normalisation in the final evaluation, at least 0 (Kang et al., ICLR 2020,
    /// section 4).
    pub tau_norm: f64,
    /// Whether that exponent is instead the best on the validation images of 0.1, 0.2, …, 2.5.
    pub tau_sweep: bool,
    /// Whether logits less τ · ln n of each class's training images are tried too, with the best such τ (Menon et al.,
    /// ICLR 2021, section 4.1).
    pub adjustment_sweep: bool,
    /// Classes with more training images are the group "many" of the figures (Liu et al., CVPR 2019).
    pub many_above: u64,
    /// Classes with fewer training images are the group "few"; at most `many_above` + 1.
    pub few_below: u64,
    /// Epochs between two evaluations on the images that select the best model, at least 1; the last epoch of a stage
    /// is evaluated in any case.
    pub every_epochs: u64,
}
