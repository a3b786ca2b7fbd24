//! The figures of a run that has made all its steps.

use lcsl_collective::Communicator;
use lcsl_collective::control::HeartbeatCell;
use lcsl_config::Protocol;

use super::evaluate::{EvaluateError, Measured, evaluate_classifiers};
use crate::data_module::DataModule;
use crate::engine::data::eval_set::{EvalSet, EvalSets};
use crate::engine::network::Network;
use crate::engine::step::teacher::tau_normalise;
use crate::metrics::report;
use lcsl_run_dir::result::{Evaluated, Variant};

/// The figures of a finished run.
pub(crate) struct FinalFigures {
    /// τ of the selected model's classifier; 0 means as trained.
    pub tau: f64,
    /// The selected model on the test set.
    pub test: Evaluated,
    /// Validation images that were skipped because their records are corrupt.
    pub corrupt_validation: u64,
    /// The best network on the test set with its classifier as trained.
    pub as_trained: Variant,
    /// And with the classifier τ-normalised.
    pub tau_normalised: Variant,
}

/// Measures a run's best network with two classifiers, as trained and τ-normalised. In protocol
/// `honest` the better one on the validation images is selected, before the test set is read; in `paper`
/// the classifier stays as trained. Collective.
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
    let (mut normalised_is_better, mut corrupt_validation) = (false, 0);
    if protocol == Protocol::Honest {
        let (validation, _) = eval_sets.selection(data_module);
        let validation = EvalSet { mirrored: eval_set.mirrored, ..validation };
        let [plain, normalised] =
            evaluate_classifiers(network, world, validation, heartbeat, classifiers)?;
        let score = |measured: &Measured| measured.confusion.balanced_accuracy(counts.len());
        normalised_is_better = score(&normalised) > score(&plain);
        corrupt_validation = plain.corrupt;
    }

    let [plain, normalised] =
        evaluate_classifiers(network, world, eval_set, heartbeat, classifiers)?;
    let variant = |tau: f64, measured: &Measured| Variant {
        tau,
        accuracy: report::accuracy(&measured.confusion, counts),
        ece: measured.calibration.error(measured.confusion.images()),
    };
    let selected = if normalised_is_better { &normalised } else { &plain };
    Ok(FinalFigures {
        tau: if normalised_is_better { tau } else { 0.0 },
        test: selected.figures("test", data_module, admitted),
        corrupt_validation,
        as_trained: variant(0.0, &plain),
        tau_normalised: variant(tau, &normalised),
    })
}
