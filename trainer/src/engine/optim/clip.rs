//! Gradients that are too long.

use tch::Tensor;

/// Added to the norm that is divided by, as in PyTorch.
const TINY: f64 = 1e-6;

/// Scales a gradient (flat, of all parameters that train) down to L2 norm `longest`, in place, where it is longer; as
/// `torch.nn.utils.clip_grad_norm_` does. 0 is no limit. The gradient is the sum over all ranks, so all of them scale
/// alike.
pub fn clip_grad_norm(gradient: &mut Tensor, longest: f64) {
    if longest == 0.0 {
        return;
    }
    let _guard = tch::no_grad_guard();
    let factor = (gradient.norm() + TINY).reciprocal() * longest;
    let _ = gradient.g_mul_(&factor.clamp_max(1.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_gradient_is_scaled_and_a_short_one_stays() {
        let of = |values: &[f64], longest: f64| {
            let mut gradient = Tensor::from_slice(values);
            clip_grad_norm(&mut gradient, longest);
            Vec::<f64>::try_from(gradient).unwrap()
        };
        let scaled = of(&[3.0, -4.0], 1.0);
        assert!((scaled[0] - 0.6).abs() < 1e-6 && (scaled[1] + 0.8).abs() < 1e-6, "{scaled:?}");
        assert_eq!(of(&[3.0, -4.0], 6.0), [3.0, -4.0]);
        assert_eq!(of(&[3e9, 0.0], 0.0), [3e9, 0.0]);
        assert_eq!(of(&[0.0], 1.0), [0.0]);
    }
}
