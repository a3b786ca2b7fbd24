//! The figures of a run that has made all its steps.

use lcsl_collective::control::HeartbeatCell;
use lcsl_collective::{Communicator, Values};
use lcsl_config::{Evaluation, Protocol};

use super::classifier::{Changed, FinalClassifier};
use super::evaluate::{EvaluateError, Measured, Seen, evaluate_and_see, evaluate_classifiers};
use super::temperature::{KeptLogits, record};
use crate::data_module::DataModule;
use crate::engine::data::eval_set::{EvalSet, EvalSets};
use crate::engine::network::Network;
use crate::metrics::{GroupedCalibration, report};
use lcsl_run_dir::result::{Calibrated, Evaluated, GroupErrors, TriedTau, Variant};

/// The figures of a finished run.
pub(crate) struct FinalFigures {
    /// The selected model's classifier.
    pub classifier: FinalClassifier,
    /// The selected model on the test set.
    pub test: Evaluated,
    /// Calibration errors of the selected model on the test set, by group.
    pub ece_groups: GroupErrors,
    /// The temperature that its validation images ask for, and the calibration error with it; nothing in protocol
    /// `paper`.
    pub calibrated: Option<Calibrated>,
    /// Validation images that were skipped because their records are corrupt.
    pub corrupt_validation: u64,
    /// The best network on the test set with its classifier as trained.
    pub as_trained: Variant,
    /// And with the classifier τ-normalised.
    pub tau_normalised: Variant,
    /// The exponents of which that one was chosen.
    pub tau_sweep: Vec<TriedTau>,
    /// And with logits adjusted, where factors were tried.
    pub adjusted: Option<Variant>,
    /// The factors of which that one was chosen.
    pub adjustment_sweep: Vec<TriedTau>,
}

/// Measures a run's best network with its classifier as trained, τ-normalised and, where that is asked for, with
/// logits adjusted. In protocol `honest` the one that is best on the validation images is selected, before the test set
/// is read; in `paper` the classifier stays as trained, and there is no temperature. Collective.
///
/// Each class had so many pseudo-labels `admitted`; batches that are done are told through `heartbeat`.
pub(crate) fn final_figures(
    network: &Network,
    world: &mut dyn Communicator,
    (eval_sets, data_module): (&EvalSets, &DataModule),
    (protocol, evaluation): (Protocol, &Evaluation),
    admitted: &[u64],
    heartbeat: &HeartbeatCell,
) -> Result<FinalFigures, EvaluateError> {
    let counts = &data_module.train_counts;
    let mut swept = |asked: bool, form: fn(f64) -> FinalClassifier| {
        let asked = asked && protocol == Protocol::Honest;
        let tried = asked.then(|| sweep(network, world, (eval_sets, data_module), heartbeat, form));
        tried.transpose().map(Option::unwrap_or_default)
    };
    let tau_sweep = swept(evaluation.tau_sweep, |tau| FinalClassifier::Normalised { tau })?;
    let adjustment_sweep =
        swept(evaluation.adjustment_sweep, |tau| FinalClassifier::Adjusted { tau })?;
    let tau = best_of(&tau_sweep).unwrap_or(evaluation.tau_norm);
    let adjustment = best_of(&adjustment_sweep);
    let mut forms = vec![FinalClassifier::AsTrained, FinalClassifier::of_exponents(tau, 0.0)];
    forms.extend(adjustment.map(|tau| FinalClassifier::of_exponents(0.0, tau)));
    let changed = Changed::each(&forms, network.classifier(), counts);
    let classifiers: Vec<_> = changed.iter().map(Changed::as_classifier).collect();

    let eval_set = eval_sets.test(data_module);
    let (mut selected, mut corrupt_validation, mut temperature) = (0, 0, None);
    if protocol == Protocol::Honest {
        let (validation, _) = eval_sets.selection(data_module);
        let validation = EvalSet { mirrored: eval_set.mirrored, ..validation };
        let mut kept: Vec<_> = forms.iter().map(|_| KeptLogits::default()).collect();
        let mut keep = |seen: Seen<'_>| kept[seen.classifier].keep(&seen, forms.len());
        let measured =
            evaluate_and_see(network, world, validation, heartbeat, &classifiers, &mut keep)?;
        let score = |place: usize| measured[place].confusion.balanced_accuracy(counts.len());
        let better = |best, place| if score(place) > score(best) { place } else { best };
        selected = (1..measured.len()).fold(0, better);
        corrupt_validation = measured[0].corrupt;
        temperature = Some(kept[selected].temperature(world, heartbeat)?);
    }

    let [mut plain, mut divided] = [(); 2].map(|()| GroupedCalibration::new(&data_module.groups));
    let mut divide = |seen: Seen<'_>| {
        if let Some(temperature) = temperature.filter(|_| seen.classifier == selected) {
            record(&mut divided, &seen, temperature);
        }
    };
    let measured =
        evaluate_and_see(network, world, eval_set, heartbeat, &classifiers, &mut divide)?;
    for it in &measured[selected].predictions {
        plain.record(it.truth, it.confidence, it.predicted == it.truth);
    }
    for part in plain.parts_mut().chain(divided.parts_mut()) {
        world.all_reduce_sum(Values::U64(part))?;
    }
    let (ece, ece_groups) = (divided.error(), divided.group_errors());
    let calibrated = temperature.map(|temperature| Calibrated { temperature, ece, ece_groups });
    let ece_groups = plain.group_errors();
    let variant = |tau: f64, measured: &Measured| Variant {
        tau,
        accuracy: report::accuracy(&measured.confusion, counts, &data_module.groups),
        ece: measured.calibration.error(measured.confusion.images()),
    };
    Ok(FinalFigures {
        classifier: forms[selected],
        test: measured[selected].figures("test", data_module, admitted),
        ece_groups,
        calibrated,
        corrupt_validation,
        as_trained: variant(0.0, &measured[0]),
        tau_normalised: variant(tau, &measured[1]),
        tau_sweep,
        adjusted: adjustment.map(|tau| variant(tau, &measured[2])),
        adjustment_sweep,
    })
}

/// How many τ are tried, in steps of a tenth.
const TRIED: usize = 25;

/// Measures `network` on the validation images with its classifier changed by each τ of 0.1, 0.2, …, 2.5.
/// Collective.
fn sweep(
    network: &Network,
    world: &mut dyn Communicator,
    (eval_sets, data_module): (&EvalSets, &DataModule),
    heartbeat: &HeartbeatCell,
    form: fn(f64) -> FinalClassifier,
) -> Result<Vec<TriedTau>, EvaluateError> {
    let (validation, _) = eval_sets.selection(data_module);
    let validation = EvalSet { mirrored: eval_sets.test(data_module).mirrored, ..validation };
    let taus: [f64; TRIED] = std::array::from_fn(|place| (place + 1) as f64 / 10.0);
    let counts = &data_module.train_counts;
    let changed = Changed::each(&taus.map(form), network.classifier(), counts);
    let classifiers: Vec<_> = changed.iter().map(Changed::as_classifier).collect();
    let measured = evaluate_classifiers(network, world, validation, heartbeat, &classifiers)?;
    let score =
        |measured: &Measured| measured.confusion.balanced_accuracy(counts.len()).unwrap_or(0.0);
    let tried = taus.iter().zip(&measured);
    Ok(tried.map(|(tau, measured)| TriedTau { tau: *tau, accuracy: score(measured) }).collect())
}

/// The τ of the highest accuracy, the smallest of several.
fn best_of(tried: &[TriedTau]) -> Option<f64> {
    let better = |best: &TriedTau, one: &TriedTau| one.accuracy > best.accuracy;
    let best =
        tried.iter().copied().reduce(|best, one| if better(&best, &one) { one } else { best });
    best.map(|best| best.tau)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use lcsl_collective::control::Control;
    use lcsl_collective::solo::Solo;
    use lcsl_config::{Machine, parse_train};
    use lcsl_run_dir::result::RunResult;
    use tch::Device;

    use super::*;
    use crate::engine::run::build::Run;
    use crate::run_dir::RunDir;

    /// Trains with flags besides these, and returns the result.
    fn trained(more: &[&str]) -> RunResult {
        let flags = "--dataset=synthetic --imb_factor=0.1 --image_size=16 --model=resnet20 --method=ce --batch_size=16 \
                     --epochs=2 --gpu=cpu --max_steps=20";
        let flags: Vec<OsString> =
            flags.split_whitespace().chain(more.iter().copied()).map(Into::into).collect();
        let config = parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config;
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let (world, control) = (Box::new(Solo), Control::absent());
        Run::open(&config, &run_dir, world, control, Device::Cpu).unwrap().train().unwrap();
        serde_json::from_str(&fs::read_to_string(run_dir.result()).unwrap()).unwrap()
    }

    #[test]
    fn the_exponent_that_is_best_on_validation_images_is_measured_on_the_test_set() {
        let swept = trained(&["--set=evaluation.tau_sweep=true"]);
        assert_eq!(swept.tau_sweep.len(), TRIED);
        let tau = best_of(&swept.tau_sweep).unwrap();
        assert_eq!(swept.tau_normalised.tau.to_bits(), tau.to_bits());
        // As if a person had named it.
        let named = trained(&[&format!("--set=evaluation.tau_norm={tau}")]);
        assert!(named.tau_sweep.is_empty());
        assert_eq!(swept.tau_normalised, named.tau_normalised);
        assert_eq!(swept.accuracy, named.accuracy);
    }

    #[test]
    fn logits_are_adjusted_by_what_is_best_on_validation_images() {
        let swept = trained(&["--set=evaluation.adjustment_sweep=true"]);
        assert_eq!(swept.adjustment_sweep.len(), TRIED);
        let tau = best_of(&swept.adjustment_sweep).unwrap();
        let adjusted = swept.adjusted.unwrap();
        assert_eq!(adjusted.tau.to_bits(), tau.to_bits());
        assert_ne!(adjusted.accuracy, swept.as_trained.accuracy);
        let usual = trained(&[]);
        assert_eq!((usual.adjusted, usual.classifier_adjustment.to_bits()), (None, 0));
        assert_eq!(usual.as_trained, swept.as_trained);
        let paper = trained(&["--set=evaluation.adjustment_sweep=true", "--protocol=paper"]);
        assert_eq!(paper.adjusted, None, "there is nothing to choose by");
    }

    #[test]
    fn of_equal_exponents_the_smallest_is_taken() {
        let tried = [(0.5, 0.7), (1.0, 0.8), (1.5, 0.8)];
        let tried = tried.map(|(tau, accuracy)| TriedTau { tau, accuracy });
        assert_eq!(best_of(&tried), Some(1.0));
        assert_eq!(best_of(&[]), None);
    }
}
