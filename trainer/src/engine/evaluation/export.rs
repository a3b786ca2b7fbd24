//! `lcsl export`: the selected model of a run, for other programs.
//!
//! * safetensors: the state dictionary under PyTorch's names, for a network that is built there.
//! * TorchScript: the computation itself, which libtorch and PyTorch load without any code of this program. It is
//!   recorded (traced) while the network looks at one image, with batch normalisation folded into the convolutions.

use std::io;
use std::path::Path;

use lcsl_config::RunConfig;
use lcsl_data::datasets::ImageForm;
use tch::{CModule, Device, Kind, TchError, Tensor};

use super::saved_model::{SavedModelError, selected, selected_model};
use crate::data_module;
use crate::engine::network::{Network, Portable};
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

/// Which kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// The weights, under PyTorch's names.
    Safetensors,
    /// The network, from pixels to logits.
    TorchScript,
}

/// Writes the selected model of a run to a file.
pub fn export(
    run_dir: &RunDir,
    config: &RunConfig,
    out: &Path,
    (form, format): (ExportForm, ExportFormat),
) -> Result<(), SavedModelError> {
    let (network, _) = selected_model(run_dir, config, Device::Cpu)?;
    let network = match form {
        // A run that is not finished has selected nothing yet.
        ExportForm::Selected => match selected(run_dir) {
            Some(selected) => selected.on(network),
            None => network,
        },
        ExportForm::Teacher if config.model.fc_norm => with_normalised_classifier(&network, 1.0),
        ExportForm::AsTrained | ExportForm::Teacher => network,
    };
    let beside = durable::beside(out);
    match format {
        ExportFormat::Safetensors => checkpoint::write_network(&beside, &network),
        ExportFormat::TorchScript => write_torchscript(&beside, network, config),
    }
    .or_disk("write", &beside)?;
    std::fs::File::open(&beside).and_then(|file| file.sync_all()).or_disk("sync", &beside)?;
    std::fs::rename(&beside, out).or_disk("rename to", out)?;
    Ok(sync_directory_of(out)?)
}

/// What a recorded network is called among the classes of TorchScript.
const MODULE: &str = "LcslModel";

/// Writes the network as TorchScript: `forward` takes images (N, C, H, W), float32 from 0 to 1, of as many channels as
/// the dataset's have, normalises them, and gives logits (N, classes), not calibrated. In single precision throughout.
fn write_torchscript(path: &Path, network: Network, config: &RunConfig) -> io::Result<()> {
    let recorded = recorded(network, &data_module::image_form(config));
    recorded.and_then(|module| module.save(path)).map_err(io::Error::other)
}

fn recorded(mut network: Network, form: &ImageForm) -> Result<CModule, TchError> {
    network.compute_in(Kind::Float);
    let network = Portable::of(&network);
    let channels = form.shape.channels;
    let by_channel = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]);
    let mean = by_channel(form.normalisation.mean).narrow(1, 0, channels as i64);
    let std = by_channel(form.normalisation.std).narrow(1, 0, channels as i64);
    let size = [1, channels as i64, form.shape.height as i64, form.shape.width as i64];
    let image = Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let mut logits = |inputs: &[Tensor]| {
        let normalised = (&inputs[0] - &mean) / &std;
        let normalised = if channels == 3 { normalised } else { normalised.repeat([1, 3, 1, 1]) };
        vec![network.logits(&normalised.permute([0, 2, 3, 1]))]
    };
    tch::no_grad(|| {
        let mut module = CModule::create_by_tracing(MODULE, "forward", &[image], &mut logits)?;
        module.set_eval();
        Ok(module)
    })
}

#[cfg(test)]
mod tests {
    use lcsl_config::Initialisation;
    use lcsl_data::datasets::PixelNormalisation;
    use lcsl_data::images::Shape;

    use super::*;
    use crate::engine::network::weights::{Role, initialise};
    use crate::engine::network::{Architecture, HeadForm, Mode, ResidualForm, Shortcut, VitForm};

    /// Every kind of layer, of grey and of coloured images: read back from its file, for other numbers of images than
    /// the one that was looked at.
    #[test]
    fn what_was_recorded_answers_like_the_network() {
        let cosine = HeadForm::Cosine { scale: 30.0 };
        let vit = VitForm { image_size: 24, patch: 8, width: 16, depth: 2, heads: 4, hidden: 24 };
        let architectures = [
            Architecture::cifar(1, 16, Shortcut::Pad, 5),
            Architecture { head: cosine, ..Architecture::cifar(1, 16, Shortcut::SHORTCUT, 5) },
            Architecture::residual(ResidualForm::of_few_channels(), 5),
            Architecture::vit(vit, 5),
        ];
        for (number, architecture) in architectures.iter().enumerate() {
            let channels = if number % 2 == 0 { 1 } else { 3 };
            let cpu = (Kind::Float, Device::Cpu);
            let mut network = Network::zeros(architecture, cpu.0, cpu.1, false);
            initialise(&mut network, Initialisation::KaimingNormalFanIn, 3, Role::Student);
            let images = Tensor::arange(3 * channels as i64 * 24 * 24, cpu).sin().abs();
            let images = images.view([3, channels as i64, 24, 24]);
            let normalisation = PixelNormalisation { mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3] };
            let of = |values: [f32; 3]| Tensor::from_slice(&values[..channels]).view([-1, 1, 1]);
            let seen = (&images - of(normalisation.mean)) / of(normalisation.std);
            let seen = seen.expand([3, 3, 24, 24], false).permute([0, 2, 3, 1]);
            let _ = network.features(&seen, Mode::Train); // statistics away from 0 and 1
            let expected = network.forward(&seen, Mode::Evaluate);

            let shape = Shape { height: 24, width: 24, channels };
            let form = ImageForm { shape, normalisation, are_photographs: false };
            let module = recorded(network, &form).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("network.pt");
            module.save(&path).unwrap();
            let module = CModule::load(&path).unwrap();
            let found = module.forward_ts(&[&images]).unwrap();
            assert!(found.allclose(&expected, 1e-4, 1e-4, false), "{number}");
            let one = module.forward_ts(&[images.narrow(0, 1, 1)]).unwrap();
            assert!(one.allclose(&expected.narrow(0, 1, 1), 1e-4, 1e-4, false), "{number}");
        }
    }
}
