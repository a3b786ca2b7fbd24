//! `lcsl eval`: the selected model of a run, measured again.

use std::fmt::Write;
use std::path::Path;

use lcsl_collective::Communicator;
use lcsl_collective::control::HeartbeatCell;
use lcsl_config::RunConfig;
use lcsl_run_dir::result::Evaluated;
use tch::Device;

use super::classifier::FinalClassifier;
use super::evaluate::{Prediction, evaluate};
use super::saved_model::{SavedModelError, selected, selected_model};
use crate::data_module::{self, DataModule};
use crate::engine::data::eval_set::{EvalSet, EvalSets};
use crate::engine::data::normaliser::Normaliser;
use crate::engine::data::pinned::Pinner;
use crate::engine::network::Network;
use crate::run_dir::RunDir;
use crate::run_dir::durable;

/// Which images `lcsl eval` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvalSplit {
    /// The test set.
    Test,
    /// The images that the model was selected on.
    Validation,
}

/// How `lcsl eval` measures.
#[derive(Debug, Clone, Copy)]
pub struct EvalOptions<'a> {
    /// Which images.
    pub split: EvalSplit,
    /// Whether logits are averaged with the mirror image.
    pub mirrored: bool,
    /// τ of the classifier's normalisation (0: as trained); nothing for what the run has selected.
    pub tau: Option<f64>,
    /// Where to write what the model says of each image, if anywhere: CSV with a header, columns `index`
    /// (position in the set of images), `class`, `predicted`, `confidence`.
    pub predictions: Option<&'a Path>,
}

/// What is measured: a run's selected model and its images, as one rank has them.
pub struct OpenedRun {
    network: Network,
    data_module: DataModule,
    /// Admissions of each class.
    admitted: Vec<u64>,
    /// The classifier that the run has selected.
    classifier: FinalClassifier,
    device: Device,
}

/// Opens a run for a measurement.
pub fn open(
    run_dir: &RunDir,
    config: &RunConfig,
    device: Device,
) -> Result<OpenedRun, SavedModelError> {
    let data_module = data_module::open(config)?;
    let (network, admitted) = selected_model(run_dir, config, device)?;
    let classes = data_module.class_names.len();
    if admitted.len() != classes {
        let why = format!("it has {} classes, the dataset has {classes}", admitted.len());
        return Err(SavedModelError::Unusable { path: run_dir.root().to_owned(), why });
    }
    let classifier =
        selected(run_dir).map_or(FinalClassifier::AsTrained, |selected| selected.classifier());
    Ok(OpenedRun { network, data_module, admitted, classifier, device })
}

impl OpenedRun {
    /// The images.
    pub fn data_module(&self) -> &DataModule {
        &self.data_module
    }

    /// Measures the model again; the figures are the same at any world size. Collective; rank 0 writes the predictions.
    /// Batches that are done are told through `heartbeat`.
    pub fn measure(
        self,
        world: &mut dyn Communicator,
        config: &RunConfig,
        options: EvalOptions<'_>,
        heartbeat: &HeartbeatCell,
    ) -> Result<Evaluated, SavedModelError> {
        let Self { network, data_module, admitted, classifier, device } = self;
        let asked = options.tau.map(|tau| FinalClassifier::of_exponents(tau, 0.0));
        let network = asked.unwrap_or(classifier).on(network, &data_module.train_counts);
        let channels = data_module.shape.channels;
        let pinner = Pinner::of(device);
        let normaliser = Normaliser::new(&data_module.normalisation, channels, device, pinner);
        let eval_sets = EvalSets::new(config, data_module.shape, normaliser);
        let (eval_set, name) = match options.split {
            EvalSplit::Test => (eval_sets.test(&data_module), "test"),
            EvalSplit::Validation => eval_sets.selection(&data_module),
        };
        let mirrored = options.mirrored;
        let measured = evaluate(&network, world, EvalSet { mirrored, ..eval_set }, heartbeat)?;
        if let Some(path) = options.predictions {
            let predictions = measured.all_predictions(world)?;
            if world.rank() == 0 {
                durable::write(path, table(&predictions).as_bytes())?;
            }
        }
        Ok(measured.figures(name, &data_module, &admitted))
    }
}

fn table(predictions: &[Prediction]) -> String {
    let mut text = String::from("index,class,predicted,confidence\n");
    for Prediction { index, truth, predicted, confidence } in predictions {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{index},{truth},{predicted},{confidence}");
    }
    text
}
