//! Cross-entropy with a margin for each class (Cao et al., NeurIPS 2019).

use tch::Tensor;

use super::cross_entropy;

/// Cross-entropy of logits from whose target its margin was taken; each target of an image (N × K) has logits of its
/// own. `margins` (C) are in logits.
pub(super) fn losses(logits: &Tensor, targets: &Tensor, margins: &Tensor) -> Tensor {
    let of_column = |column| {
        let target = targets.narrow(1, column, 1);
        let margin = margins.index_select(0, &target.view([-1])).view([-1, 1]);
        cross_entropy::losses(&logits.scatter_add(1, &target, &-margin), &target)
    };
    let columns: Vec<Tensor> = (0..targets.size()[1]).map(of_column).collect();
    Tensor::cat(&columns, 1)
}
