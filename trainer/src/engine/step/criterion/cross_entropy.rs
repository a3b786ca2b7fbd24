//! Cross-entropy.

use tch::Tensor;

/// −log softmax(logits) at the targets.
pub(super) fn losses(logits: &Tensor, targets: &Tensor) -> Tensor {
    -logits.log_softmax(-1, None).gather(1, targets, false)
}
