//! `[loss]`: the constants of the criteria.

use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// The constants of the criteria; each is read by the criterion that its name says, and by no other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// γ of the focal loss, at least 0; 0 is cross-entropy.
    pub focal_gamma: f64,
    /// β of the effective number of images (`class_balanced`, `ldam_drw`), in [0, 1).
    pub class_balanced_beta: f64,
    /// The largest margin of LDAM, that of the smallest class, above 0; cosines lie in [-1, 1].
    pub ldam_max_margin: f64,
    /// The part of the epochs, at the end, in which `ldam_drw` weighs classes, in [0, 1].
    pub deferred_share: f64,
    /// τ of `logit_adjustment`, at least 0; 1 is `balanced_softmax`.
    pub adjustment_tau: f64,
    /// The share of a target that `label_smoothing` spreads over all classes, in [0, 1).
    pub label_smoothing: f64,
    /// Weight of an image that is admitted in an epoch beside a training image, in the prior of `balanced_softmax` and
    /// `logit_adjustment`, at least 0; 0 counts training images alone.
    pub prior_admissions: f64,
    /// What an admitted pseudo-label is measured by.
    pub admitted: AdmittedLoss,
}

choice! {
    /// What an admitted pseudo-label is measured by.
    AdmittedLoss {
        /// The criterion of all other targets, with its priors, margins and weights.
        Criterion = "criterion",
        /// Cross-entropy of the plain logits, as published.
        Plain = "plain",
    }
}
