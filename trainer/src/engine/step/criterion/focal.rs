//! The focal loss (Lin et al., ICCV 2017).

use tch::Tensor;

use super::cross_entropy;

/// (1 − p)^γ·ℓ for each cross-entropy ℓ = −ln p.
pub(super) fn losses(logits: &Tensor, targets: &Tensor, gamma: f64) -> Tensor {
    let losses = cross_entropy::losses(logits, targets);
    // A target that is certain has no loss; below 1 a power of nothing has no slope.
    let missing = -(-&losses).expm1();
    missing.clamp_min(f64::from(f32::MIN_POSITIVE)).pow_tensor_scalar(gamma) * losses
}
