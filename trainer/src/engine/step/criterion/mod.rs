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
    use crate::objective::Prior;

    /// Balanced softmax (Ren et al., NeurIPS 2020, eq. 3) is cross-entropy under the prior of the training
    /// images; golden values of the specification, in float64.
    #[test]
    fn golden_balanced_softmax_is_cross_entropy_under_a_prior() {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let folder = std::env::var_os("LCSL_GOLDEN_DIR").unwrap_or_else(|| beside.into());
        let path = std::path::Path::new(&folder).join("losses.json");
        let sheet: Sheet = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut found = 0;
        for case in &sheet.cases {
            let prior = match case.method.as_str() {
                "ce" => None,
                "balanced_softmax" => {
                    Some(Prior { scale: 1.0, admissions: 0.0, corrects_teacher: false })
                }
                _ => continue,
            };
            found += 1;
            case.check(prior);
        }
        assert!(found > 1, "{found} cases");
    }

    #[derive(serde::Deserialize)]
    struct Sheet {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        method: String,
        counts: Vec<u64>,
        logits: Vec<Vec<f64>>,
        target: Vec<i64>,
        partner: Vec<i64>,
        lam: f64,
        loss: Vec<f64>,
        grad_of_mean: Vec<Vec<f64>>,
    }

    impl Case {
        fn check(&self, prior: Option<Prior>) {
            let (images, classes) = (self.logits.len() as i64, self.counts.len() as i64);
            let rows =
                |rows: &[Vec<f64>]| Tensor::from_slice(&rows.concat()).view([images, classes]);
            let logits = rows(&self.logits).set_requires_grad(true);
            let zeros = vec![0; self.counts.len()];
            let offsets = prior.map(|prior| prior.logit_offsets(&self.counts, &zeros));
            let corrected = match offsets {
                Some(offsets) => &logits + Tensor::from_slice(&offsets),
                None => logits.shallow_clone(),
            };
            let [target, partner] = [&self.target, &self.partner].map(|it| Tensor::from_slice(it));
            let targets = Tensor::stack(&[target, partner], 1);
            let weights = Tensor::from_slice(&[self.lam, 1.0 - self.lam]);
            let losses = losses(&Criterion::CrossEntropy, &corrected, &targets) * weights;
            let losses = losses.sum_dim_intlist(1_i64, false, None);
            losses.mean(None).backward();
            let near = |what: &str, found: &Tensor, expected: &Tensor| {
                let off = (found - expected).abs().max().double_value(&[]);
                assert!(off < 1e-10, "{} of {}: off by {off}", what, self.method);
            };
            near("losses", &losses, &Tensor::from_slice(&self.loss));
            near("gradient", &logits.grad(), &rows(&self.grad_of_mean));
        }
    }

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
