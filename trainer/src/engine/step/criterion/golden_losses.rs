//! Golden values of the specification (`losses.json`), in float64, through what a configuration's words stand for.

use std::path::Path;

use lcsl_config::{Machine, RunConfig, parse_train};
use tch::{Device, Kind, Tensor};

use super::{Loss, class_weighted};
use crate::objective::criterion::{Resolved, class_weights, ldam_margins};

/// Losses and gradients equal the golden ones to this.
const TOLERANCE: f64 = 1e-10;

#[derive(serde::Deserialize)]
struct Sheet {
    cases: Vec<Case>,
    class_weights: Vec<WeightsCase>,
    ldam_margins: Vec<MarginsCase>,
}

#[derive(serde::Deserialize)]
struct WeightsCase {
    counts: Vec<u64>,
    beta: f64,
    weights: Vec<f64>,
}

#[derive(serde::Deserialize)]
struct MarginsCase {
    counts: Vec<u64>,
    max_m: f64,
    margins: Vec<f64>,
}

/// Constants that a case does not name have their defaults.
#[derive(serde::Deserialize, Clone, Default)]
struct Constants {
    tau: Option<f64>,
    gamma: Option<f64>,
    beta: Option<f64>,
    max_m: Option<f64>,
    scale: Option<f64>,
    smoothing: Option<f64>,
}

#[derive(serde::Deserialize, Clone)]
struct Case {
    method: String,
    constants: Constants,
    counts: Vec<u64>,
    logits: Vec<Vec<f64>>,
    target: Vec<i64>,
    partner: Vec<i64>,
    lam: f64,
    loss: Vec<f64>,
    grad_of_mean: Vec<Vec<f64>>,
}

fn sheet() -> Sheet {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let folder = std::env::var_os("LCSL_GOLDEN_DIR").unwrap_or_else(|| beside.into());
    let path = Path::new(&folder).join("losses.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Case {
    /// The configuration that asks for it.
    fn config(&self) -> RunConfig {
        let Constants { tau, gamma, beta, max_m, scale, smoothing } = self.constants;
        let constants = [
            ("loss.adjustment_tau", tau),
            ("loss.focal_gamma", gamma),
            ("loss.class_balanced_beta", beta),
            ("loss.ldam_max_margin", max_m),
            ("model.cosine_scale", scale),
            ("loss.label_smoothing", smoothing),
        ];
        let set = constants
            .iter()
            .filter_map(|(key, value)| value.map(|value| format!("--set={key}={value:?}").into()));
        let method = format!("--method={}", self.method).into();
        let flags: Vec<_> = ["--dataset=synthetic".into(), method].into_iter().chain(set).collect();
        parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config
    }

    /// How far losses and gradients are from the golden ones. Golden logits of LDAM are cosines, which a cosine head
    /// hands on multiplied by its scale; `ldam_drw` is its last part.
    fn distance(&self) -> f64 {
        let config = self.config();
        let Resolved { criterion, prior, class_weights, deferred_weights } =
            Resolved::of(&config, &self.counts).unwrap();
        let (images, classes) = (self.logits.len() as i64, self.counts.len() as i64);
        let rows = |rows: &[Vec<f64>]| Tensor::from_slice(&rows.concat()).view([images, classes]);
        let given = rows(&self.logits).set_requires_grad(true);
        let scale =
            if config.train.criterion.needs_cosines() { config.model.cosine_scale } else { 1.0 };
        let logits = &given * scale;
        let nobody = vec![0.0; self.counts.len()];
        let offsets = prior.map(|prior| prior.logit_offsets(&self.counts, &nobody));
        let logits = match offsets {
            Some(offsets) => logits + Tensor::from_slice(&offsets),
            None => logits,
        };
        let targets = [&self.target, &self.partner].map(|it| Tensor::from_slice(it));
        let targets = Tensor::stack(&targets, 1);
        let weights = Tensor::from_slice(&[self.lam, 1.0 - self.lam]).expand([images, 2], false);
        let of_class = class_weights.or(deferred_weights);
        let of_class = of_class.map(|weights| Tensor::from_slice(&weights));
        let weights = class_weighted(weights, of_class.as_ref(), &targets);
        let loss = Loss::of(&criterion, Kind::Double, Device::Cpu);
        let losses = loss.losses(&logits, &targets) * weights;
        let losses = losses.sum_dim_intlist(1_i64, false, None);
        losses.mean(None).backward();
        let apart =
            |found: &Tensor, expected: &Tensor| (found - expected).abs().max().double_value(&[]);
        apart(&losses, &Tensor::from_slice(&self.loss))
            .max(apart(&given.grad(), &rows(&self.grad_of_mean)))
    }
}

#[test]
fn golden_losses_and_gradients_of_every_criterion() {
    let sheet = sheet();
    let methods = lcsl_config::CriterionName::WORDS;
    for method in methods {
        assert!(sheet.cases.iter().any(|case| case.method == *method), "no case of {method}");
    }
    for case in &sheet.cases {
        let off = case.distance();
        assert!(
            off < TOLERANCE,
            "{} with {} classes: off by {off}",
            case.method,
            case.counts.len()
        );
    }
}

/// A golden test that cannot fail shows nothing.
#[test]
fn golden_losses_that_are_damaged_are_noticed() {
    for case in &sheet().cases {
        let mut loss = case.clone();
        loss.loss[0] += 1e-8;
        let mut gradient = case.clone();
        gradient.grad_of_mean[0][0] += 1e-8;
        let mut logits = case.clone();
        logits.logits[0][case.target[0] as usize] += 1e-3;
        for damaged in [loss, gradient, logits] {
            assert!(damaged.distance() > TOLERANCE, "{} passes, damaged", case.method);
        }
    }
}

/// Logit adjustment with τ = 1 is the balanced softmax: their losses and gradients are the same.
#[test]
fn golden_logit_adjustment_with_tau_1_is_balanced_softmax() {
    let mut seen = 0;
    for case in sheet().cases.iter().filter(|case| case.method == "balanced_softmax") {
        let constants = Constants { tau: Some(1.0), ..case.constants.clone() };
        let method = "logit_adjustment".to_owned();
        assert!(Case { method, constants, ..case.clone() }.distance() < TOLERANCE);
        seen += 1;
    }
    assert!(seen > 1, "{seen} cases");
}

#[test]
fn golden_class_weights_and_margins() {
    let Sheet { class_weights: weights, ldam_margins: margins, .. } = sheet();
    assert!(weights.len() > 1 && margins.len() > 1);
    let near = |found: &[f64], expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < TOLERANCE, "{found} and not {expected}");
        }
    };
    for WeightsCase { counts, beta, weights } in weights {
        near(&class_weights(&counts, beta), &weights);
    }
    for MarginsCase { counts, max_m, margins } in margins {
        near(&ldam_margins(&counts, max_m), &margins);
    }
}
