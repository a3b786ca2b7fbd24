//! A finished run under the glass: final figures, `lcsl eval`, `lcsl export`.

use std::fmt::Write;
use std::path::Path;

use lcsl_collective::solo::Solo;
use lcsl_config::{Protocol, RunConfig};
use lcsl_run_dir::result::{Evaluated, Variant};
use tch::Device;
use thiserror::Error;

use super::checkpoint;
use super::evaluate::{
    EvaluateError, Exam, Exams, Measured, Prediction, evaluate, evaluate_classifiers,
};
use super::feed::Normaliser;
use super::network::Network;
use super::network::weights::Role;
use super::pinned::Pinner;
use super::run::{Run, initial_network};
use super::teacher::{tau_normalise, with_normalised_classifier};
use crate::material::{self, Material, MaterialError};
use crate::metrics::report;
use crate::run_dir::RunDir;
use crate::run_dir::checkpoints;
use crate::run_dir::durable::{self, DiskContext, DiskError, sync_directory_of};

/// Why a run cannot be inspected.
#[derive(Debug, Error)]
pub enum InspectError {
    /// Nothing was saved yet, or nothing that is whole.
    #[error("{} holds no whole checkpoint with a selected model", path.display())]
    NoModel {
        /// The run directory.
        path: std::path::PathBuf,
    },
    /// The checkpoint does not fit its configuration.
    #[error("cannot use the newest checkpoint of {}: {why}", path.display())]
    Unusable {
        /// The run directory.
        path: std::path::PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The dataset cannot be read.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// The evaluation failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The disk did not do its part.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Which images `lcsl eval` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The test set.
    Test,
    /// The images that the model was selected on.
    Validation,
}

/// How `lcsl eval` measures.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Which images.
    pub split: Split,
    /// Whether logits are averaged with the mirror image.
    pub mirrored: bool,
    /// τ of the classifier's normalisation (0: as trained); nothing for what the run has selected.
    pub tau: Option<f64>,
    /// Where to write what the model says of each image, if anywhere: CSV with a header, columns `index`
    /// (position in the set of images), `class`, `predicted`, `confidence`.
    pub predictions: Option<&'a Path>,
}

/// The figures of a finished run.
pub(super) struct Final {
    /// τ of the selected model's classifier; 0 means as trained.
    pub tau: f64,
    /// The selected model on the test set.
    pub test: Evaluated,
    /// Validation images that were left out because their records are corrupt.
    pub corrupt_validation: u64,
    /// The best network on the test set with its classifier as trained.
    pub as_trained: Variant,
    /// And with the classifier τ-normalised.
    pub tau_normalised: Variant,
}

/// Measures a run's best network with two classifiers, as trained and τ-normalised. In protocol
/// `honest` the better one on the validation images is selected, before the test set is read; in `paper`
/// the classifier stays as trained. Collective.
pub(super) fn final_figures(run: &mut Run<'_>) -> Result<Final, EvaluateError> {
    let (_, network) = run.best.as_ref().expect("an evaluation selects the first model");
    let (material, counts) = (&run.material, &run.material.train_counts);
    let world = run.rank.world.as_mut();
    let tau = run.config.evaluation.tau_norm;
    let normalised = tau_normalise(network.classifier_weight(), tau);
    let classifiers = [network.classifier_weight(), &normalised];

    let exam = run.exams.test(material);
    let (mut normalised_is_better, mut corrupt_validation) = (false, 0);
    if run.config.train.protocol == Protocol::Honest {
        let (validation, _) = run.exams.selection(material);
        let validation = Exam { mirrored: exam.mirrored, ..validation };
        let [plain, normalised] = evaluate_classifiers(network, world, validation, classifiers)?;
        let score = |measured: &Measured| measured.confusion.balanced_accuracy(counts.len());
        normalised_is_better = score(&normalised) > score(&plain);
        corrupt_validation = plain.corrupt;
    }

    let [plain, normalised] = evaluate_classifiers(network, world, exam, classifiers)?;
    let variant = |tau: f64, measured: &Measured| Variant {
        tau,
        accuracy: report::accuracy(&measured.confusion, counts),
        ece: measured.calibration.error(measured.confusion.images()),
    };
    let selected = if normalised_is_better { &normalised } else { &plain };
    Ok(Final {
        tau: if normalised_is_better { tau } else { 0.0 },
        test: evaluated("test", selected, material, &run.rank.ledger.total),
        corrupt_validation,
        as_trained: variant(0.0, &plain),
        tau_normalised: variant(tau, &normalised),
    })
}

/// τ of the classifier that a finished run has selected; 0 while it is not finished.
fn selected_tau(run_dir: &RunDir) -> f64 {
    #[derive(serde::Deserialize)]
    struct Selected {
        classifier_tau: f64,
    }
    let selected = std::fs::read(run_dir.result()).ok();
    let selected = selected.and_then(|text| serde_json::from_slice::<Selected>(&text).ok());
    selected.map_or(0.0, |selected| selected.classifier_tau)
}

/// Measures the selected model of a run again.
pub fn eval(
    run_dir: &RunDir,
    config: &RunConfig,
    device: Device,
    question: Question<'_>,
) -> Result<Evaluated, InspectError> {
    let material = material::open(config)?;
    let (mut network, admitted) = selected_model(run_dir, config, device)?;
    let classes = material.class_names.len();
    if admitted.len() != classes {
        let why = format!("it has {} classes, the dataset has {classes}", admitted.len());
        return Err(InspectError::Unusable { path: run_dir.root().to_owned(), why });
    }
    let tau = question.tau.unwrap_or_else(|| selected_tau(run_dir));
    if tau > 0.0 {
        network = with_normalised_classifier(&network, tau);
    }
    let channels = material.shape.channels;
    let pinner = Pinner::of(device);
    let normaliser = Normaliser::new(&material.normalisation, channels, device, pinner);
    let exams = Exams::new(config, material.shape, normaliser);
    let (exam, name) = match question.split {
        Split::Test => (exams.test(&material), "test"),
        Split::Validation => exams.selection(&material),
    };
    let mirrored = question.mirrored;
    let measured = evaluate(&network, &mut Solo, Exam { mirrored, ..exam })?;
    if let Some(path) = question.predictions {
        durable::write(path, table(&measured.predictions).as_bytes())?;
    }
    Ok(evaluated(name, &measured, &material, &admitted))
}

/// Writes the selected model of a run, under PyTorch's names, to a safetensors file; with `teacher`
/// the copy that labels, whose classifier is normalised where `model.fc_norm` says so.
pub fn export(
    run_dir: &RunDir,
    config: &RunConfig,
    out: &Path,
    teacher: bool,
) -> Result<(), InspectError> {
    let (mut network, _) = selected_model(run_dir, config, Device::Cpu)?;
    let labelling_tau = if config.model.fc_norm { 1.0 } else { 0.0 };
    let tau = if teacher { labelling_tau } else { selected_tau(run_dir) };
    if tau > 0.0 {
        network = with_normalised_classifier(&network, tau);
    }
    let beside = durable::beside(out);
    checkpoint::write_network(&beside, &network).or_disk("write", &beside)?;
    std::fs::File::open(&beside).and_then(|file| file.sync_all()).or_disk("sync", &beside)?;
    std::fs::rename(&beside, out).or_disk("rename to", out)?;
    Ok(sync_directory_of(out)?)
}

/// The selected model of the newest whole checkpoint, and the admissions of each class. The number of
/// classes is that of the ledger, so that an export needs no dataset.
fn selected_model(
    run_dir: &RunDir,
    config: &RunConfig,
    device: Device,
) -> Result<(Network, Vec<u64>), InspectError> {
    let path = || run_dir.root().to_owned();
    let (found, _) = checkpoints::newest(run_dir)?;
    let found = found.ok_or_else(|| InspectError::NoModel { path: path() })?;
    let unusable = |why| InspectError::Unusable { path: path(), why };
    let tensors = checkpoint::read(&found).map_err(unusable)?;
    if !tensors.has("best") {
        return Err(InspectError::NoModel { path: path() });
    }
    let admitted = found.manifest.ledger.total;
    let mut network = initial_network(config, admitted.len(), device, Role::FirstTeacher);
    tensors.load("best", &mut network).map_err(unusable)?;
    Ok((network, admitted))
}

fn table(predictions: &[Prediction]) -> String {
    let mut text = String::from("index,class,predicted,confidence\n");
    for Prediction { index, truth, predicted, confidence } in predictions {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{index},{truth},{predicted},{confidence}");
    }
    text
}

fn evaluated(split: &str, measured: &Measured, material: &Material, admitted: &[u64]) -> Evaluated {
    let Measured { confusion, calibration, corrupt, .. } = measured;
    let (names, counts) = (&material.class_names, &material.train_counts);
    Evaluated {
        split: split.to_owned(),
        corrupt: *corrupt,
        accuracy: report::accuracy(confusion, counts),
        ece: calibration.error(confusion.images()),
        per_class: report::class_rows(confusion, names, counts, admitted),
    }
}
