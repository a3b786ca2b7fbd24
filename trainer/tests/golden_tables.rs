//! Golden values without tensors: profiles, minority sets, learning rates, quotas, admission
//! histories and calibration, exactly; and admission once more on the confidences stored with the
//! training cases. `LCSL_GOLDEN_DIR` names another folder of values.

#![allow(clippy::unwrap_used)] // a table that cannot be read is a failure of the test

use std::path::PathBuf;

use lcsl_config::{AdmittedClasses, Policy};
use lcsl_trainer::admission::{
    AdmissionSettings, AdmissionStep, Candidate, Ledger, Rules, auto_quota_rate, crest_rates,
};
use lcsl_trainer::long_tail::{ShotGroup, ShotThresholds, minority};
use lcsl_trainer::metrics::Calibration;
use lcsl_trainer::schedule::{Shape, learning_rate};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

fn folder() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    std::env::var_os("LCSL_GOLDEN_DIR").map_or_else(|| PathBuf::from(beside), PathBuf::from)
}

fn json(name: &str) -> Value {
    let path = folder().join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One table of `tables.json`, row by row.
fn table<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let rows: Vec<T> = serde_json::from_value(json("tables.json")[name].clone())
        .unwrap_or_else(|error| panic!("table {name}: {error}"));
    assert!(!rows.is_empty(), "table {name} is empty");
    rows
}

#[test]
fn golden_profiles() {
    #[derive(Deserialize)]
    struct Row {
        kind: String,
        classes: usize,
        largest: u64,
        factor: f64,
        counts: Vec<u64>,
    }
    for Row { kind, classes, largest, factor, counts } in table("profiles") {
        let kind = match kind.as_str() {
            "exp" => lcsl_data::profile::ProfileShape::Exponential,
            "step" => lcsl_data::profile::ProfileShape::Step,
            other => panic!("unknown profile {other}"),
        };
        assert_eq!(lcsl_data::profile::counts(kind, classes, largest, factor), counts);
    }
}

#[test]
fn golden_minority_and_shot_groups() {
    #[derive(Deserialize)]
    struct Row {
        counts: Vec<u64>,
        minority: Vec<u32>,
        shots: Vec<ShotGroup>,
    }
    for Row { counts, minority: expected, shots } in table("minority") {
        assert_eq!(minority(&counts), expected);
        assert_eq!(ShotThresholds::USUAL.groups(&counts), shots);
    }
}

#[test]
fn golden_learning_rates() {
    #[derive(Deserialize)]
    struct Row {
        lr: f64,
        epochs: u64,
        warmup: u64,
        values: Vec<f64>,
    }
    for Row { lr, epochs, warmup, values } in table("learning_rate") {
        assert_eq!(values.len() as u64, epochs);
        for (epoch, expected) in (0..).zip(values) {
            let found = learning_rate(Shape::Cosine, lr, epoch, epochs, warmup);
            assert!((found - expected).abs() <= 1e-15, "epoch {epoch}: {found} for {expected}");
        }
    }
}

#[test]
fn golden_auto_quota_rate() {
    #[derive(Deserialize)]
    struct Row {
        counts: Vec<u64>,
        millionths: u64,
    }
    for Row { counts, millionths } in table("auto_quota_rate") {
        assert_eq!(auto_quota_rate(&counts), millionths, "{counts:?}");
    }
}

#[test]
fn golden_crest_rates() {
    #[derive(Deserialize)]
    struct Row {
        counts: Vec<u64>,
        alpha: f64,
        millionths: Vec<u64>,
    }
    for Row { counts, alpha, millionths } in table("crest_rates") {
        assert_eq!(crest_rates(&counts, alpha), millionths, "{counts:?} {alpha}");
    }
}

#[test]
fn golden_calibration_error() {
    #[derive(Deserialize)]
    struct Sheet {
        confidence: Vec<f64>,
        correct: Vec<bool>,
        bins: usize,
        value: f64,
    }
    let sheet: Sheet = serde_json::from_value(json("tables.json")["ece"].clone()).unwrap();
    assert_eq!(sheet.bins, 15);
    let mut calibration = Calibration::default();
    for (confidence, correct) in sheet.confidence.iter().zip(&sheet.correct) {
        calibration.record(*confidence, *correct);
    }
    let found = calibration.error(sheet.confidence.len() as u64);
    // Confidences are summed in units of 2⁻⁴⁰, hence the tolerance.
    assert!((found - sheet.value).abs() < 1e-12, "{found} for {}", sheet.value);
}

#[derive(Deserialize)]
struct History {
    policy: String,
    conf: f32,
    quota_rate: u64,
    burst_steps: u64,
    share: u64,
    crest_alpha: f64,
    counts: Vec<u64>,
    steps: u64,
    batch: u64,
    rows: Vec<HistoryRow>,
}

#[derive(Deserialize)]
struct HistoryRow {
    candidates: Vec<(u64, u32, f64)>,
    admitted: Vec<u64>,
    epoch: Vec<u64>,
    tokens: Vec<u64>,
    credit: Vec<u64>,
}

#[test]
fn golden_admission_histories() {
    for history in table::<History>("admission") {
        let rules = Rules::new(
            &history.counts,
            AdmissionSettings {
                classes: AdmittedClasses::Minority,
                policy: history.policy.parse::<Policy>().unwrap(),
                confidence: history.conf,
                quantile: 0,
                alignment: 0,
                quota_rate: Some(history.quota_rate),
                burst_steps: history.burst_steps,
                share: history.share,
                crest_alpha: history.crest_alpha,
            },
        );
        let mut ledger = Ledger::new(history.counts.len());
        for (step, row) in (0..).zip(&history.rows) {
            let mut candidates: Vec<Candidate> = row
                .candidates
                .iter()
                .map(|(key, label, p)| Candidate {
                    key: *key,
                    label: *label,
                    confidence: *p as f32,
                })
                .collect();
            let half = candidates.len() / 2;
            candidates.rotate_left(half); // the order of arrival must not matter
            let at = AdmissionStep { step, steps: history.steps, batch: history.batch, rounds: 1 };
            let admitted = rules.admit(&candidates, &mut ledger, at);
            let keys: Vec<u64> = admitted.iter().map(|one| one.key).collect();
            assert_eq!(keys, row.admitted, "{} step {step}", history.policy);
            assert_eq!(ledger.epoch, row.epoch);
            assert_eq!(ledger.tokens, row.tokens);
            assert_eq!(ledger.credit, row.credit);
        }
    }
}

#[test]
fn golden_admission_on_stored_confidences() {
    let cases = [
        "one_rank",
        "one_rank_clean_forward",
        "one_rank_option_b",
        "four_ranks",
        "three_ranks_uneven",
        "empty_part",
        "four_ranks_quota",
        "four_ranks_rate",
        "two_epochs",
        "accumulate",
        "temperature_alpha",
    ];
    for name in cases {
        let sheet = json(&format!("{name}.json"));
        for (suffix, steps) in [("", "steps"), (".f64", "steps_f64")] {
            let path = folder().join(format!("{name}{suffix}.safetensors"));
            let bytes = std::fs::read(&path).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            replay(name, &sheet, &sheet[steps], &tensors);
        }
    }
}

/// Admits the candidates of every step of a case, micro-batch by micro-batch, as the specification
/// did.
fn replay(name: &str, sheet: &Value, steps: &Value, tensors: &SafeTensors<'_>) {
    let counts: Vec<u64> = serde_json::from_value(sheet["counts"].clone()).unwrap();
    let number = |key: &str| sheet["config"][key].as_f64().unwrap();
    let rules = Rules::new(
        &counts,
        AdmissionSettings {
            classes: AdmittedClasses::Minority,
            policy: sheet["config"]["policy"].as_str().unwrap().parse().unwrap(),
            confidence: number("conf") as f32,
            quantile: 0,
            alignment: 0,
            quota_rate: Some(number("quota_rate") as u64),
            burst_steps: number("burst_steps") as u64,
            share: number("share") as u64,
            crest_alpha: number("crest_alpha"),
        },
    );
    let mut ledger = Ledger::new(counts.len());
    let epoch_steps = sheet["epoch_steps"].as_u64().unwrap();
    let mut key = 0;
    for (step, expected) in (0..).zip(steps.as_array().unwrap()) {
        if step % epoch_steps == 0 {
            ledger.begin_epoch();
            key = 0;
        }
        let mut keys = Vec::new();
        for micro in 0..sheet["accumulate"].as_u64().unwrap() {
            let mut candidates = Vec::new();
            for rank in 0..sheet["ranks"].as_u64().unwrap() {
                let prefix = format!("step{step}.micro{micro}.rank{rank}.");
                let labels = tensors.tensor(&format!("{prefix}pseudo")).unwrap();
                let confidences = tensors.tensor(&format!("{prefix}confidence")).unwrap();
                let labels = labels.data().as_chunks::<8>().0.iter();
                let confidences = confidences.data().as_chunks::<4>().0.iter();
                for (label, confidence) in labels.zip(confidences) {
                    let label = i64::from_le_bytes(*label) as u32;
                    let confidence = f32::from_le_bytes(*confidence);
                    candidates.push(Candidate { key, label, confidence });
                    key += 1;
                }
            }
            let batch = candidates.len() as u64;
            let at =
                AdmissionStep { step: step % epoch_steps, steps: epoch_steps, batch, rounds: 1 };
            keys.extend(rules.admit(&candidates, &mut ledger, at).iter().map(|one| one.key));
        }
        let expected_keys: Vec<u64> =
            serde_json::from_value(expected["admitted_keys"].clone()).unwrap();
        assert_eq!(keys, expected_keys, "{name} step {step}");
        let totals: Vec<u64> = serde_json::from_value(expected["admitted_total"].clone()).unwrap();
        assert_eq!(ledger.total, totals, "{name} step {step}");
    }
}
