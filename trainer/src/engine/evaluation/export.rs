//! `lcsl export`: the selected model of a run, for other programs.

use std::path::Path;

use lcsl_config::RunConfig;
use tch::Device;

use super::saved_model::{SavedModelError, selected_model, selected_tau};
use crate::engine::run::checkpoint;
use crate::engine::step::teacher::with_normalised_classifier;
use crate::run_dir::RunDir;
use crate::run_dir::durable::{self, DiskContext, sync_directory_of};

/// Which form of the selected model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// With the classifier that the run has selected.
    Selected,
    /// With the classifier as it was trained.
    AsTrained,
    /// The copy that labels, whose classifier is normalised where `model.fc_norm` says so.
    Teacher,
}

/// Writes the selected model of a run, under PyTorch's names, to a safetensors file.
pub fn export(
    run_dir: &RunDir,
    config: &RunConfig,
    out: &Path,
    form: ExportForm,
) -> Result<(), SavedModelError> {
    let (mut network, _) = selected_model(run_dir, config, Device::Cpu)?;
    let tau = match form {
        ExportForm::Selected => selected_tau(run_dir),
        ExportForm::AsTrained => 0.0,
        ExportForm::Teacher => f64::from(u8::from(config.model.fc_norm)),
    };
    if tau > 0.0 {
        network = with_normalised_classifier(&network, tau);
    }
    let beside = durable::beside(out);
    checkpoint::write_network(&beside, &network).or_disk("write", &beside)?;
    std::fs::File::open(&beside).and_then(|file| file.sync_all()).or_disk("sync", &beside)?;
    std::fs::rename(&beside, out).or_disk("rename to", out)?;
    Ok(sync_directory_of(out)?)
}
