//! The arithmetic of criteria, a file for each.

mod cross_entropy;
mod focal;
mod label_smoothing;
mod margins;

use tch::{Device, Kind, Tensor};

use crate::objective::Criterion;

/// A criterion with its constants where logits are.
#[derive(Debug)]
pub enum Loss {
    /// See [`Criterion::CrossEntropy`].
    CrossEntropy,
    /// See [`Criterion::Focal`].
    Focal {
        /// γ.
        gamma: f64,
    },
    /// See [`Criterion::Margins`].
    Margins {
        /// Of each class (C), in logits.
        of_class: Tensor,
    },
    /// See [`Criterion::LabelSmoothing`].
    LabelSmoothing {
        /// ε.
        smoothing: f64,
    },
}

impl Loss {
    /// That of `criterion`, for logits of this type on this device.
    pub fn of(criterion: &Criterion, kind: Kind, device: Device) -> Self {
        match criterion {
            Criterion::CrossEntropy => Self::CrossEntropy,
            Criterion::Focal { gamma } => Self::Focal { gamma: *gamma },
            Criterion::Margins { of_class } => {
                let of_class = Tensor::from_slice(of_class).to_kind(kind).to_device(device);
                Self::Margins { of_class }
            }
            Criterion::LabelSmoothing { smoothing } => {
                Self::LabelSmoothing { smoothing: *smoothing }
            }
        }
    }

    /// Losses (N × K) of logits (N × C) against targets (N × K, class ids as i64), with gradients.
    pub fn losses(&self, logits: &Tensor, targets: &Tensor) -> Tensor {
        match self {
            Self::CrossEntropy => cross_entropy::losses(logits, targets),
            Self::Focal { gamma } => focal::losses(logits, targets, *gamma),
            Self::Margins { of_class } => margins::losses(logits, targets, of_class),
            Self::LabelSmoothing { smoothing } => {
                label_smoothing::losses(logits, targets, *smoothing)
            }
        }
    }
}

/// Weights (N × K) times the weight of each target's class (C), where classes have weights.
pub fn class_weighted(weights: Tensor, class_weights: Option<&Tensor>, targets: &Tensor) -> Tensor {
    match class_weights {
        None => weights,
        Some(of_class) => {
            weights * of_class.index_select(0, &targets.view([-1])).view(targets.size().as_slice())
        }
    }
}

#[cfg(test)]
mod golden_losses;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_the_weight_of_its_class() {
        let targets = Tensor::from_slice(&[0_i64, 2, 1, 1]).view([2, 2]);
        let weights = Tensor::from_slice(&[0.25_f64, 0.75, 1.0, 0.0]).view([2, 2]);
        let of_class = Tensor::from_slice(&[1.0_f64, 2.0, 4.0]);
        let found = class_weighted(weights.shallow_clone(), Some(&of_class), &targets);
        assert_eq!(Vec::<f64>::try_from(found.view([-1])).unwrap(), [0.25, 3.0, 2.0, 0.0]);
        assert_eq!(class_weighted(weights.shallow_clone(), None, &targets), weights);
    }

    /// An exponent below 1 has an infinite slope at 0, and a loss that is 0 would make it NaN.
    #[test]
    fn a_target_that_is_certain_has_a_gradient_in_every_criterion() {
        let of_class = Tensor::from_slice(&[1.0_f32, 2.0]);
        for loss in [
            Loss::CrossEntropy,
            Loss::Focal { gamma: 0.5 },
            Loss::Focal { gamma: 0.0 },
            Loss::Margins { of_class },
            Loss::LabelSmoothing { smoothing: 0.1 },
        ] {
            let logits = Tensor::from_slice(&[300.0_f32, 0.0]).view([1, 2]).set_requires_grad(true);
            let targets = Tensor::from_slice(&[0_i64, 1]).view([1, 2]);
            let losses = loss.losses(&logits, &targets);
            losses.sum(None::<Kind>).backward();
            let finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) == 1;
            assert!(finite(&losses) && finite(&logits.grad()), "{loss:?}");
            let none = loss.losses(&logits.narrow(0, 0, 0), &targets.narrow(0, 0, 0));
            assert_eq!(none.size(), [0, 2], "{loss:?} of no image");
        }
    }
}
