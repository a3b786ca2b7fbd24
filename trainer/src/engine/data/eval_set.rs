//! The images of an evaluation set, in the batches that one rank measures.

use std::borrow::Cow;

use lcsl_config::{Protocol, RunConfig};
use lcsl_data::DataError;
use lcsl_data::images::Shape;
use lcsl_data::loader::{Kept, Loader, Options, Request, ShardSource, View};
use lcsl_data::sampler::Order;

use crate::corrupt::{CorruptLog, CorruptScope};
use crate::data_module::{DataModule, Images, Selection};
use crate::engine::data::normaliser::Normaliser;
use crate::engine::data::train_loader;
use crate::engine::data::train_loader::Decoding;

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

/// Some images of an evaluation set, without those that were refused; there may be none left.
pub(crate) struct EvalBatch<'a> {
    /// Their places in the set (N).
    pub indices: Cow<'a, [u32]>,
    /// The images (N, H, W, C), row-major.
    pub pixels: Cow<'a, [u8]>,
    /// Their classes (N).
    pub labels: Cow<'a, [i64]>,
    /// Images of the batch that were refused and left out.
    pub refused: u64,
}

/// Batches `part`, `part` + `parts`, … of an evaluation set.
pub(crate) struct EvalBatches<'a> {
    eval_set: EvalSet<'a>,
    /// Place of the next batch's first image in the set's indices.
    next: usize,
    /// From one batch's first image to the next one's.
    stride: usize,
    from: Stored,
}

enum Stored {
    Memory { pixels: Vec<u8>, labels: Vec<i64> },
    Shards(Loader, CorruptLog),
}

impl<'a> EvalBatches<'a> {
    pub(crate) fn new(eval_set: EvalSet<'a>, part: usize, parts: usize) -> Self {
        let (first, stride) = (part * eval_set.batch_size, parts * eval_set.batch_size);
        let from = match &eval_set.images.images {
            Images::Memory(_) => Stored::Memory { pixels: Vec::new(), labels: Vec::new() },
            Images::Shards(set) => {
                let count = eval_set.images.indices.len();
                let (batch_size, whole) = (eval_set.batch_size, count == set.len());
                let requests = (first..count).step_by(stride).map(move |start| {
                    let end = (start + batch_size).min(count);
                    Request { epoch: 0, positions: start as u64..end as u64 }
                });
                let loader = Loader::start(
                    Box::new(ShardSource(set.clone())),
                    (!whole).then(|| eval_set.images.indices.to_vec()),
                    Box::new(move |_| Order::sequential(count as u64)),
                    Box::new(requests),
                    Options {
                        threads: eval_set.decoding.threads,
                        ahead: BATCHES_AHEAD,
                        batch_images: batch_size.min(count),
                        pin: eval_set.normaliser.pinner.clone().map(|pinner| pinner as _),
                        seed: 0,
                        view: View::evaluation(eval_set.shape.height),
                        on_refusal: eval_set.decoding.on_refusal,
                    },
                );
                Stored::Shards(loader, CorruptLog::default())
            }
        };
        Self { eval_set, next: first, stride, from }
    }

    /// The next batch, or none after the last one. Images that are refused are named in the log and left
    /// out, where that is wanted; the others keep their neighbours.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<EvalBatch<'_>>, DataError> {
        let all: &'a [u32] = &self.eval_set.images.indices;
        if self.next >= all.len() {
            return Ok(None);
        }
        let indices = &all[self.next..(self.next + self.eval_set.batch_size).min(all.len())];
        self.next += self.stride;
        match &mut self.from {
            Stored::Memory { pixels, labels } => {
                let Images::Memory(set) = &self.eval_set.images.images else {
                    unreachable!("chosen by the images when the batches were begun")
                };
                pixels.clear();
                labels.clear();
                for index in indices {
                    pixels.extend_from_slice(set.image(*index as usize));
                    labels.push(i64::from(set.label(*index as usize)));
                }
                let (pixels, labels) = (pixels.as_slice().into(), labels.as_slice().into());
                Ok(Some(EvalBatch { indices: indices.into(), pixels, labels, refused: 0 }))
            }
            Stored::Shards(loader, log) => {
                let loaded = loader.next().expect("there is a request for each batch")?;
                let refused = &loaded.batch.refused;
                train_loader::name(log, CorruptScope::Evaluation, refused);
                let Kept { pixels, labels, positions } = Kept::of(loaded.batch);
                let left = || positions.iter().map(|position| all[*position as usize]).collect();
                let indices = if refused.is_empty() { indices.into() } else { left() };
                Ok(Some(EvalBatch { indices, pixels, labels, refused: refused.len() as u64 }))
            }
        }
    }
}
