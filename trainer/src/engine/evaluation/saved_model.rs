//! The model that a run has selected, read from its newest checkpoint.

use lcsl_config::RunConfig;
use lcsl_run_dir::result::{Calibrated, ClassRow};
use tch::Device;
use thiserror::Error;

use super::classifier::FinalClassifier;
use super::evaluate::EvaluateError;
use crate::data_module::DataModuleError;
use crate::engine::network::Network;
use crate::engine::network::build::initial_network;
use crate::engine::network::weights::Role;
use crate::engine::run::restored;
use crate::run_dir::RunDir;
use crate::run_dir::checkpoints;
use crate::run_dir::durable::DiskError;

/// Why the model of a run cannot be used.
#[derive(Debug, Error)]
pub enum SavedModelError {
    /// Nothing was saved yet.
    #[error("{} holds no checkpoint with a selected model", path.display())]
    NoModel {
        /// The run directory.
        path: std::path::PathBuf,
    },
    /// There are checkpoints, and none of them is whole.
    #[error("no checkpoint of {} is whole: {}", path.display(), broken.join("; "))]
    NoneWhole {
        /// The run directory.
        path: std::path::PathBuf,
        /// What is wrong with each, a sentence; the newest first.
        broken: Vec<String>,
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
    DataModule(#[from] DataModuleError),
    /// The evaluation failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The disk did not do its part.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The selected model of the newest whole checkpoint, and the admissions of each class. The number of
/// classes is that of the ledger, so that an export needs no dataset.
pub(super) fn selected_model(
    run_dir: &RunDir,
    config: &RunConfig,
    device: Device,
) -> Result<(Network, Vec<u64>), SavedModelError> {
    let path = || run_dir.root().to_owned();
    let (found, broken) = checkpoints::newest(run_dir)?;
    let Some(found) = found else {
        return Err(if broken.is_empty() {
            SavedModelError::NoModel { path: path() }
        } else {
            SavedModelError::NoneWhole { path: path(), broken }
        });
    };
    for sentence in &broken {
        let step = found.manifest.position.step;
        eprintln!("note: {sentence}; this is the model of step {step}");
    }
    let unusable = |why| SavedModelError::Unusable { path: path(), why };
    let tensors = restored::read(&found).map_err(unusable)?;
    if !tensors.has("best") {
        return Err(SavedModelError::NoModel { path: path() });
    }
    let admitted = found.manifest.ledger.total;
    let mut network = initial_network(config, admitted.len(), device, Role::FirstTeacher);
    tensors.load("best", &mut network).map_err(unusable)?;
    Ok((network, admitted))
}

/// What `result.json` says of the model, whatever else its version knew.
#[derive(serde::Deserialize)]
pub(super) struct Selected {
    /// τ of the classifier; 0 for as trained.
    pub classifier_tau: f64,
    /// τ of its adjustment; 0 for none.
    #[serde(default)]
    pub classifier_adjustment: f64,
    /// The classes, by id.
    pub per_class: Vec<ClassRow>,
    /// Its temperature, where it has one.
    #[serde(default)]
    pub calibrated: Option<Calibrated>,
}

impl Selected {
    /// The classifier.
    pub(super) fn classifier(&self) -> FinalClassifier {
        FinalClassifier::of_exponents(self.classifier_tau, self.classifier_adjustment)
    }

    /// A network with it.
    pub(super) fn on(&self, network: Network) -> Network {
        let counts: Vec<u64> = self.per_class.iter().map(|row| row.train_count).collect();
        self.classifier().on(network, &counts)
    }
}

/// What a finished run has selected.
pub(super) fn selected(run_dir: &RunDir) -> Option<Selected> {
    let text = std::fs::read(run_dir.result()).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version that wrote fewer figures has selected a classifier all the same.
    #[test]
    fn what_a_run_of_another_version_has_selected_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        assert!(selected(&run_dir).is_none(), "it is not finished");
        let result = r#"{"version": "0.0.1", "classifier_tau": 1.9, "per_class": []}"#;
        std::fs::write(run_dir.result(), result).unwrap();
        let selected = selected(&run_dir).unwrap();
        assert_eq!(selected.classifier(), FinalClassifier::Normalised { tau: 1.9 });
        assert!(selected.calibrated.is_none());
    }
}
