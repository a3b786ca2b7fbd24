//! The images of an evaluation set, in the batches that one rank measures.

use std::borrow::Cow;

use lcsl_config::{Protocol, RunConfig};
use lcsl_data::DataError;
use lcsl_data::batch::{Batches, ImageStream, Piece};
use lcsl_data::images::Shape;

use crate::corrupt::{CorruptLog, CorruptScope};
use crate::data_module::{DataModule, Selection};
use crate::engine::data::normaliser::Normaliser;
use crate::engine::data::train_loader::{Decoding, log_skipped};

/// Which images, and how.
#[derive(Clone, Copy)]
pub struct EvalSet<'a> {
    /// The images that are measured, each once.
    pub images: &'a Selection,
    /// Their size.
    pub shape: Shape,
    /// How images from shards are decoded.
    pub decoding: Decoding,
    /// Pixels to numbers.
    pub normaliser: &'a Normaliser,
    /// Images that go through the network at once. Batches of this size are dealt to the ranks in
    /// turn, so that an image meets the same neighbours, and gets the same logits to the last bit,
    /// whatever the world size.
    pub batch_size: usize,
    /// Whether logits are averaged over the image and its mirror image.
    pub mirrored: bool,
}

/// How a run measures its models.
#[derive(Debug)]
pub struct EvalSets {
    normaliser: Normaliser,
    shape: Shape,
    decoding: Decoding,
    batch_size: usize,
    mirrored: bool,
    selects_on_test: bool,
}

impl EvalSets {
    /// As the configuration says, with images of this shape.
    pub fn new(config: &RunConfig, shape: Shape, normaliser: Normaliser) -> Self {
        Self {
            normaliser,
            shape,
            decoding: Decoding::of(&config.data),
            batch_size: config.evaluation.batch_size,
            mirrored: config.evaluation.tta,
            selects_on_test: config.train.protocol == Protocol::Paper,
        }
    }

    /// The images on which the best model is selected after each epoch, and what they are called.
    /// Logits are not averaged here.
    pub fn selection<'a>(&'a self, data_module: &'a DataModule) -> (EvalSet<'a>, &'static str) {
        let (test, mirrored) = (self.test(data_module), false);
        if self.selects_on_test {
            return (EvalSet { mirrored, ..test }, "test");
        }
        (EvalSet { images: &data_module.validation, mirrored, ..test }, "validation")
    }

    /// The test set.
    pub fn test<'a>(&'a self, data_module: &'a DataModule) -> EvalSet<'a> {
        EvalSet {
            images: &data_module.test,
            shape: self.shape,
            decoding: self.decoding,
            normaliser: &self.normaliser,
            batch_size: self.batch_size,
            mirrored: self.mirrored,
        }
    }
}

/// Batches that are decoded before they are asked for.
const BATCHES_AHEAD: usize = 1;

/// Some images of an evaluation set, without corrupt ones; there may be none left.
pub(crate) struct EvalBatch<'a> {
    /// How many images of the set come before this batch.
    pub start: usize,
    /// Their places in the set (N).
    pub indices: Cow<'a, [u32]>,
    /// The images (N, H, W, C), row-major.
    pub pixels: Cow<'a, [u8]>,
    /// Their classes (N).
    pub labels: Cow<'a, [i64]>,
    /// Corrupt images of the batch, which were skipped.
    pub skipped: u64,
}

/// Batches `part`, `part` + `parts`, … of an evaluation set.
pub(crate) struct EvalBatches<'a> {
    /// The set's images: a position is a place here.
    indices: &'a [u32],
    batches: Box<dyn Batches>,
    corrupt: CorruptLog,
}

impl<'a> EvalBatches<'a> {
    pub(crate) fn new(eval_set: EvalSet<'a>, part: usize, parts: usize) -> Self {
        let EvalSet { images, shape, decoding, normaliser, batch_size, .. } = eval_set;
        let count = images.indices.len();
        let starts = (part * batch_size..count).step_by(parts * batch_size);
        let pieces = starts.map(move |start| {
            let end = (start + batch_size).min(count);
            Piece { epoch: 0, positions: start as u64..end as u64 }
        });
        let stream =
            ImageStream::in_order(images.images.clone(), images.indices.clone(), shape.height);
        let largest = batch_size.min(count);
        let settings = decoding.settings(largest, BATCHES_AHEAD, normaliser.pinner.as_ref());
        let batches = stream.batches(Box::new(pieces), settings);
        Self { indices: &images.indices, batches, corrupt: CorruptLog::default() }
    }

    /// The next batch, or none after the last one. Corrupt images are named in the log and skipped, where
    /// that is wanted; the others keep their neighbours.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<EvalBatch<'_>>, DataError> {
        let Some(batch) = self.batches.next()? else { return Ok(None) };
        log_skipped(&mut self.corrupt, CorruptScope::Evaluation, batch.corrupt);
        let places = batch.piece.positions.start as usize..batch.piece.positions.end as usize;
        let start = places.start;
        let indices = if batch.corrupt.is_empty() {
            Cow::Borrowed(&self.indices[places])
        } else {
            batch.positions.iter().map(|position| self.indices[*position as usize]).collect()
        };
        let skipped = batch.corrupt.len() as u64;
        Ok(Some(EvalBatch { start, indices, pixels: batch.pixels, labels: batch.labels, skipped }))
    }
}
