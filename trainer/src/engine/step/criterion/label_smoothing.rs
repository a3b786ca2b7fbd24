//! Label smoothing (Szegedy et al., CVPR 2016).

use tch::Tensor;

/// Cross-entropy against (1 − ε) of the target and ε/C of each of C classes.
pub(super) fn losses(logits: &Tensor, targets: &Tensor, smoothing: f64) -> Tensor {
    let log_probabilities = logits.log_softmax(-1, None);
    let of_target = log_probabilities.gather(1, targets, false);
    let of_all = log_probabilities.mean_dim(1_i64, true, None);
    -(of_target * (1.0 - smoothing) + of_all * smoothing)
}
