//! `[refit]`: the classifier, trained once more behind a backbone that stays as it is.

use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// A last stage, in which the classifier of the best model begins anew, or has its rows scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refit {
    /// What it is trained on.
    pub method: RefitMethod,
    /// Its epochs, after those of `train.epochs`; at least 1.
    pub epochs: u64,
    /// Its learning rate in the first of them, above 0; half a cosine brings it down.
    pub lr: f64,
}

choice! {
    /// What a classifier is trained on once more.
    RefitMethod {
        /// There is no such stage.
        None = "none",
        /// Cross-entropy on images that are drawn so that classes are equally likely (cRT: Kang et al., ICLR 2020,
        /// section 4.1).
        Crt = "crt",
        /// Balanced softmax (Ren et al., NeurIPS 2020) on images as they are.
        Balanced = "balanced",
        /// Cross-entropy on images that are drawn so that classes are equally likely, by which the lengths of the
        /// classifier's rows alone are learnt (learnable weight scaling, LWS: Kang et al., ICLR 2020, section 4.1).
        Lws = "lws",
    }
}
