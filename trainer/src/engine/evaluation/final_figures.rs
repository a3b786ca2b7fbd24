//! The figures of a run that has made all its steps.

use lcsl_collective::control::HeartbeatCell;
use lcsl_collective::{Communicator, Values};
use lcsl_config::Protocol;

use super::evaluate::{EvaluateError, Measured, Seen, evaluate_and_see};
use super::temperature::{KeptLogits, record};
use crate::data_module::DataModule;
use crate::engine::data::eval_set::{EvalSet, EvalSets};
use crate::engine::network::Network;
use crate::engine::step::teacher::tau_normalise;
use crate::metrics::{GroupedCalibration, report};
use lcsl_run_dir::result::{Calibrated, Evaluated, GroupErrors, Variant};

/// The figures of a finished run.
pub(crate) struct FinalFigures {
    /// τ of the selected model's classifier; 0 means as trained.
    pub tau: f64,
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
}

/// Measures a run's best network with two classifiers, as trained and τ-normalised. In protocol
/// `honest` the better one on the validation images is selected, before the test set is read; in `paper`
/// the classifier stays as trained, and there is no temperature. Collective.
///
/// Each class had so many pseudo-labels `admitted`; `tau` is the exponent of the normalised classifier; batches that
/// are done are told through `heartbeat`.
pub(crate) fn final_figures(
    network: &Network,
    world: &mut dyn Communicator,
    (eval_sets, data_module): (&EvalSets, &DataModule),
    (protocol, tau): (Protocol, f64),
    admitted: &[u64],
    heartbeat: &HeartbeatCell,
) -> Result<FinalFigures, EvaluateError> {
    let counts = &data_module.train_counts;
    let normalised = tau_normalise(network.classifier_weight(), tau);
    let classifiers = [network.classifier_weight(), &normalised];

    let eval_set = eval_sets.test(data_module);
    let (mut selected, mut corrupt_validation, mut temperature) = (0, 0, None);
    if protocol == Protocol::Honest {
        let (validation, _) = eval_sets.selection(data_module);
        let validation = EvalSet { mirrored: eval_set.mirrored, ..validation };
        let mut kept = [KeptLogits::default(), KeptLogits::default()];
        let mut keep = |seen: Seen<'_>| kept[seen.classifier].keep(&seen, classifiers.len());
        let [plain, normalised] =
            evaluate_and_see(network, world, validation, heartbeat, classifiers, &mut keep)?;
        let score = |measured: &Measured| measured.confusion.balanced_accuracy(counts.len());
        selected = usize::from(score(&normalised) > score(&plain));
        corrupt_validation = plain.corrupt;
        temperature = Some(kept[selected].temperature(world, heartbeat)?);
    }

    let [mut plain, mut divided] = [(); 2].map(|()| GroupedCalibration::new(counts));
    let mut divide = |seen: Seen<'_>| {
        if let Some(temperature) = temperature.filter(|_| seen.classifier == selected) {
            record(&mut divided, &seen, temperature);
        }
    };
    let measured = evaluate_and_see(network, world, eval_set, heartbeat, classifiers, &mut divide)?;
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
        accuracy: report::accuracy(&measured.confusion, counts),
        ece: measured.calibration.error(measured.confusion.images()),
    };
    let [plain, normalised] = &measured;
    Ok(FinalFigures {
        tau: if selected == 1 { tau } else { 0.0 },
        test: measured[selected].figures("test", data_module, admitted),
        ece_groups,
        calibrated,
        corrupt_validation,
        as_trained: variant(0.0, plain),
        tau_normalised: variant(tau, normalised),
    })
}
