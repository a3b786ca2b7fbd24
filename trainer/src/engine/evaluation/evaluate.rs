//! Measuring a model on held-out images, shared among all ranks.

use lcsl_collective::control::{HeartbeatCell, Phase};
use lcsl_collective::{CollectiveError, Communicator, Values};
use lcsl_data::DataError;
use lcsl_run_dir::result::Evaluated;
use tch::{Kind, Tensor};
use thiserror::Error;

use crate::data_module::DataModule;
use crate::engine::data::eval_set::{EvalBatch, EvalBatches, EvalSet};
use crate::engine::network::{Classifier, Folded, Network};
use crate::metrics::{Calibration, Confusion, report};

/// What the model says of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Position in the set of images.
    pub index: u32,
    /// The class it belongs to.
    pub truth: u32,
    /// The class that the model names.
    pub predicted: u32,
    /// Its softmax probability, 0..1.
    pub confidence: f64,
}

impl Prediction {
    /// As ranks send it to each other: index, class, predicted (u32 each), confidence (f64), little-endian.
    fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&self.index.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.truth.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.predicted.to_le_bytes());
        bytes[12..].copy_from_slice(&self.confidence.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; 20]) -> Self {
        let [i0, i1, i2, i3, t0, t1, t2, t3, p0, p1, p2, p3, confidence @ ..] = *bytes;
        Self {
            index: u32::from_le_bytes([i0, i1, i2, i3]),
            truth: u32::from_le_bytes([t0, t1, t2, t3]),
            predicted: u32::from_le_bytes([p0, p1, p2, p3]),
            confidence: f64::from_le_bytes(confidence),
        }
    }
}

/// What was measured; the sums are the same on all ranks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// What was said of each image that this rank looked at, in its order.
    pub predictions: Vec<Prediction>,
    /// Which classes were taken for which.
    pub confusion: Confusion,
    /// Counts for the calibration error.
    pub calibration: Calibration,
    /// Images that were skipped because their records are corrupt.
    pub corrupt: u64,
}

/// Why a measurement failed.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// An image cannot be read.
    #[error(transparent)]
    Data(#[from] Box<DataError>),
    /// Ranks could not talk.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// Another rank sent nonsense.
    #[error("rank {rank} sent {bytes} bytes of {what}, which are not whole records")]
    Record {
        /// Of what.
        what: &'static str,
        /// Who.
        rank: usize,
        /// How many bytes.
        bytes: usize,
    },
}

/// Measures `network`. Collective: every rank calls it with the same images and gets the sum over
/// all. Batches that are done are told through `heartbeat`.
pub fn evaluate(
    network: &Network,
    world: &mut dyn Communicator,
    eval_set: EvalSet<'_>,
    heartbeat: &HeartbeatCell,
) -> Result<Measured, EvaluateError> {
    let classifiers = [network.classifier()];
    let mut measured = evaluate_classifiers(network, world, eval_set, heartbeat, &classifiers)?;
    Ok(measured.remove(0))
}

/// Measures `network` with several classifiers on top, for little more than the price of one: the features are the
/// same. Collective.
pub fn evaluate_classifiers(
    network: &Network,
    world: &mut dyn Communicator,
    eval_set: EvalSet<'_>,
    heartbeat: &HeartbeatCell,
    classifiers: &[Classifier<'_>],
) -> Result<Vec<Measured>, EvaluateError> {
    evaluate_and_see(network, world, eval_set, heartbeat, classifiers, &mut |_| ())
}

/// What was found out about a batch of images.
pub(super) struct Seen<'a> {
    /// Which of the classifiers.
    pub classifier: usize,
    /// How many images of the set come before the batch.
    pub start: usize,
    /// Logits (N × classes).
    pub logits: &'a Tensor,
    /// True classes (N).
    pub labels: &'a [i64],
}

/// [`evaluate_classifiers`], which also shows `see` what was found out about each batch of this rank.
pub(super) fn evaluate_and_see(
    network: &Network,
    world: &mut dyn Communicator,
    eval_set: EvalSet<'_>,
    heartbeat: &HeartbeatCell,
    classifiers: &[Classifier<'_>],
    see: &mut dyn FnMut(Seen<'_>),
) -> Result<Vec<Measured>, EvaluateError> {
    let mut measured = vec![Measured::default(); classifiers.len()];
    let (rank, size) = (world.rank(), world.world_size());
    let folded = Folded::of(network);
    let mut batches = EvalBatches::new(eval_set, rank, size);
    let mut corrupt = 0;
    heartbeat.enter(Phase::Evaluation);
    while let Some(batch) = batches.next().map_err(Box::new)? {
        corrupt += batch.skipped;
        heartbeat.progress();
        if batch.labels.is_empty() {
            continue;
        }
        let (pixels, count) = (&batch.pixels, batch.labels.len());
        let images = eval_set.normaliser.apply(pixels, count, eval_set.shape);
        let features = views(&folded, &images, eval_set.mirrored);
        for (number, (classifier, measured)) in classifiers.iter().zip(&mut measured).enumerate() {
            let logits = average_logits(network, &features, *classifier);
            measured.record(&batch, &logits);
            let (start, labels) = (batch.start, &batch.labels);
            see(Seen { classifier: number, start, logits: &logits, labels });
        }
    }
    // Who has looked at its images waits for the others here, however long they take.
    heartbeat.enter(Phase::Counts);
    world.all_reduce_sum(Values::U64(std::slice::from_mut(&mut corrupt)))?;
    for part in &mut measured {
        part.sum_over_ranks(world)?;
        part.corrupt = corrupt;
    }
    Ok(measured)
}

/// Features of images (N, H, W, C), and of their mirror images where these count.
pub(super) fn views(network: &Folded, images: &Tensor, mirrored: bool) -> Vec<Tensor> {
    let _guard = tch::no_grad_guard();
    let mut views = vec![network.features(images)];
    if mirrored {
        views.push(network.features(&images.flip([2])));
    }
    views
}

/// Logits (N × classes) of these features under `classifier`, averaged over the views.
pub(super) fn average_logits(
    network: &Network,
    views: &[Tensor],
    classifier: Classifier<'_>,
) -> Tensor {
    let _guard = tch::no_grad_guard();
    let logits: Vec<Tensor> =
        views.iter().map(|features| network.classify(features, classifier)).collect();
    Tensor::stack(&logits, 0).mean_dim(0_i64, false, None)
}

impl Measured {
    /// Counts the images of a batch, whose logits (N × classes) these are.
    fn record(&mut self, batch: &EvalBatch<'_>, logits: &Tensor) {
        let (confidences, labels) = predictions(logits);
        let images = batch.indices.iter().zip(batch.labels.iter());
        for (((index, truth), predicted), confidence) in images.zip(labels).zip(confidences) {
            let (index, truth, predicted) = (*index, *truth as u32, predicted as u32);
            self.confusion.record(truth, predicted);
            self.calibration.record(confidence, predicted == truth);
            self.predictions.push(Prediction { index, truth, predicted, confidence });
        }
    }

    /// The figures of this measurement on `split` of `data_module`, where each class had so many
    /// pseudo-labels `admitted`.
    pub fn figures(&self, split: &str, data_module: &DataModule, admitted: &[u64]) -> Evaluated {
        let Self { confusion, calibration, corrupt, .. } = self;
        let (names, counts) = (&data_module.class_names, &data_module.train_counts);
        Evaluated {
            split: split.to_owned(),
            corrupt: *corrupt,
            accuracy: report::accuracy(confusion, counts, &data_module.groups),
            ece: calibration.error(confusion.images()),
            per_class: report::class_rows(confusion, names, counts, admitted),
        }
    }

    /// What was said of each image by whichever rank looked at it, in the order of the set. Collective.
    pub fn all_predictions(
        &self,
        world: &mut dyn Communicator,
    ) -> Result<Vec<Prediction>, EvaluateError> {
        let mine: Vec<u8> = self.predictions.iter().flat_map(|it| it.to_bytes()).collect();
        let mut all = Vec::new();
        for (rank, bytes) in world.all_gather(&mine)?.iter().enumerate() {
            let (records, rest) = bytes.as_chunks();
            if !rest.is_empty() {
                return Err(EvaluateError::Record {
                    what: "predictions",
                    rank,
                    bytes: bytes.len(),
                });
            }
            all.extend(records.iter().map(Prediction::from_bytes));
        }
        all.sort_by_key(|prediction| prediction.index);
        Ok(all)
    }

    fn sum_over_ranks(&mut self, world: &mut dyn Communicator) -> Result<(), EvaluateError> {
        let mut confusion = Confusion::default();
        for (rank, bytes) in world.all_gather(&self.confusion.to_bytes())?.iter().enumerate() {
            let part = Confusion::from_bytes(bytes).ok_or(EvaluateError::Record {
                what: "a confusion matrix",
                rank,
                bytes: bytes.len(),
            })?;
            confusion.add(&part);
        }
        self.confusion = confusion;
        world.all_reduce_sum(Values::U64(self.calibration.as_flattened_mut()))?;
        Ok(())
    }
}

/// The likeliest class of each image and its softmax probability, of logits (N × classes).
pub(super) fn predictions(logits: &Tensor) -> (Vec<f64>, Vec<i64>) {
    let count = logits.size()[0] as usize;
    let (confidence, label) = logits.to_kind(Kind::Double).softmax(-1, None).max_dim(1, false);
    let (mut confidences, mut labels) = (vec![0.0; count], vec![0; count]);
    confidence.copy_data(&mut confidences, count);
    label.copy_data(&mut labels, count);
    (confidences, labels)
}
