//! The arithmetic of criteria, a file for each.

mod cross_entropy;

use tch::Tensor;

use crate::objective::Criterion;

/// Losses (N × K) of logits (N × C) against targets (N × K, class ids as i64), with gradients.
pub fn losses(criterion: &Criterion, logits: &Tensor, targets: &Tensor) -> Tensor {
    match criterion {
        Criterion::CrossEntropy => cross_entropy::losses(logits, targets),
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
}
