//! `lcsl predict`: what the selected model of a run says of pictures.

use std::fs;
use std::path::{Path, PathBuf};

use lcsl_config::RunConfig;
use lcsl_data::pictures::PictureReader;
use lcsl_data::prepare::sources::folder::images_below;
use lcsl_run_dir::result::{ClassProbability, Predicted, PredictedImage, RefusedImage};
use tch::{Device, Kind};

use super::classifier::FinalClassifier;
use super::evaluate::{average_logits, views};
use super::saved_model::{SavedModelError, Selected, selected, selected_model};
use crate::data_module;
use crate::engine::data::normaliser::Normaliser;
use crate::engine::network::Folded;
use crate::run_dir::RunDir;

/// What `lcsl predict` tells.
#[derive(Debug, Clone, Copy)]
pub struct PredictOptions {
    /// How many classes of each picture, at least one.
    pub top: usize,
    /// Whether logits are averaged with the mirror image.
    pub mirrored: bool,
    /// τ of the classifier's normalisation (0: as trained); nothing for what the run has selected.
    pub tau: Option<f64>,
    /// What logits are divided by; nothing for the temperature that the run has found on its validation images, or 1.
    pub temperature: Option<f64>,
}

/// What the selected model of a run says of `pictures` and of all that lie below the folders among them. Those that
/// cannot be read are listed. The dataset need not be there: a finished run knows the names of its classes.
pub fn predict(
    run_dir: &RunDir,
    config: &RunConfig,
    device: Device,
    pictures: &[PathBuf],
    options: PredictOptions,
) -> Result<Predicted, SavedModelError> {
    let (network, admitted) = selected_model(run_dir, config, device)?;
    let selected = selected(run_dir);
    let names: Vec<String> = match &selected {
        Some(selected) => selected.per_class.iter().map(|row| row.name.clone()).collect(),
        None => data_module::open(config)?.class_names,
    };
    if names.len() != admitted.len() {
        let why = format!("it has {} classes, of which {} have names", admitted.len(), names.len());
        return Err(SavedModelError::Unusable { path: run_dir.root().to_owned(), why });
    }
    let (classifier, temperature) = classifier_of(selected.as_ref(), options);
    let rows = selected.iter().flat_map(|selected| &selected.per_class);
    let counts: Vec<u64> = rows.map(|row| row.train_count).collect();
    let network = classifier.on(network, &counts);
    let folded = Folded::of(&network);

    let form = data_module::image_form(config);
    let normaliser = Normaliser::new(&form.normalisation, form.shape.channels, device, None);
    let mut reader = PictureReader::new(form);
    let (files, mut refused) = files_of(pictures);
    let mut images = Vec::with_capacity(files.len());
    for batch in files.chunks(config.evaluation.batch_size) {
        let (mut pixels, mut read) = (Vec::new(), Vec::new());
        for file in batch {
            let bytes = fs::read(file).map_err(|error| format!("cannot be read: {error}"));
            match bytes.and_then(|bytes| reader.read(&bytes, &mut pixels)) {
                Ok(()) => read.push(file),
                Err(why) => refused.push(refusal(file, why)),
            }
        }
        if read.is_empty() {
            continue;
        }
        let seen = normaliser.apply(&pixels, read.len(), form.shape);
        let features = views(&folded, &seen, options.mirrored);
        let logits =
            average_logits(&network, &features, network.classifier()).to_kind(Kind::Double);
        let probabilities = (logits / temperature).softmax(-1, None).to_device(Device::Cpu);
        let mut values = vec![0.0; read.len() * names.len()];
        probabilities.contiguous().copy_data(&mut values, read.len() * names.len());
        for (file, row) in read.iter().zip(values.chunks_exact(names.len())) {
            let classes = likeliest(row, &names, options.top);
            images.push(PredictedImage { image: file.display().to_string(), classes });
        }
    }
    Ok(Predicted { images, refused })
}

/// The classifier that is asked for, or that the run has selected, and by what its logits are divided. What the run has
/// found best for its own classifier says nothing of another one, whose logits have another scale.
fn classifier_of(selected: Option<&Selected>, options: PredictOptions) -> (FinalClassifier, f64) {
    let own = selected.map_or(FinalClassifier::AsTrained, Selected::classifier);
    let asked = options.tau.map(|tau| FinalClassifier::of_exponents(tau, 0.0));
    let classifier = asked.unwrap_or(own);
    let calibrated =
        selected.filter(|_| classifier == own).and_then(|selected| selected.calibrated);
    let temperature = options.temperature.or(calibrated.map(|it| it.temperature));
    (classifier, temperature.unwrap_or(1.0))
}

/// The pictures that are named, and those below the folders that are named, in this order.
fn files_of(pictures: &[PathBuf]) -> (Vec<PathBuf>, Vec<RefusedImage>) {
    let (mut files, mut refused) = (Vec::new(), Vec::new());
    for path in pictures {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match images_below(path) {
            Ok(found) if found.is_empty() => {
                refused.push(refusal(path, "is a folder without images".to_owned()));
            }
            Ok(found) => files.extend(found),
            Err(error) => refused.push(refusal(path, format!("cannot be listed: {error}"))),
        }
    }
    (files, refused)
}

fn refusal(path: &Path, why: String) -> RefusedImage {
    RefusedImage { image: path.display().to_string(), why }
}

/// The `top` likeliest classes; of equal ones, those with the lower id come first.
fn likeliest(row: &[f64], names: &[String], top: usize) -> Vec<ClassProbability> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    let told = order.into_iter().take(top);
    told.map(|class| ClassProbability {
        class: class as u32,
        name: names[class].clone(),
        probability: row[class],
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use lcsl_run_dir::result::{Calibrated, GroupErrors};

    use super::*;

    /// Story: the logits of another classifier were divided by what is best for those of the selected one, and every
    /// probability was next to 1 or all alike.
    #[test]
    fn a_temperature_is_that_of_its_own_classifier() {
        let selected = Selected {
            classifier_tau: 1.9,
            classifier_adjustment: 0.0,
            per_class: Vec::new(),
            calibrated: Some(Calibrated {
                temperature: 0.05,
                ece: 0.0,
                ece_groups: GroupErrors::default(),
            }),
        };
        let of = |selected, tau, temperature| {
            let options = PredictOptions { top: 1, mirrored: false, tau, temperature };
            let (classifier, temperature) = classifier_of(selected, options);
            format!("{} {temperature}", classifier.exponents().0)
        };
        assert_eq!(of(Some(&selected), None, None), "1.9 0.05");
        assert_eq!(of(Some(&selected), Some(1.9), None), "1.9 0.05");
        assert_eq!(of(Some(&selected), Some(0.0), None), "0 1");
        assert_eq!(of(Some(&selected), Some(0.0), Some(2.0)), "0 2");
        assert_eq!(of(None, None, None), "0 1", "while the run is not finished");
    }
}
