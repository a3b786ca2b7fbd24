//! The images of an evaluation set, in the batches that one rank measures.

use std::borrow::Cow;

use lcsl_data::DataError;
use lcsl_data::loader::{Kept, Loader, LoaderOptions, Piece, ShardSource, View};
use lcsl_data::sampler::EpochOrder;

use crate::corrupt::{CorruptLog, CorruptScope};
use crate::data_module::Images;
use crate::engine::data::train_loader;
use crate::engine::evaluation::evaluate::EvalSet;

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
                    Piece { epoch: 0, positions: start as u64..end as u64 }
                });
                let loader = Loader::start(
                    Box::new(ShardSource(set.clone())),
                    (!whole).then(|| eval_set.images.indices.to_vec()),
                    Box::new(move |_| EpochOrder::sequential(count as u64)),
                    Box::new(requests),
                    LoaderOptions {
                        threads: eval_set.decoding.threads,
                        ahead: BATCHES_AHEAD,
                        batch_images: batch_size.min(count),
                        pin: eval_set.normaliser.pinner.clone().map(|pinner| pinner as _),
                        seed: 0,
                        view: View::evaluation(eval_set.shape.height),
                        corrupt_policy: eval_set.decoding.corrupt_policy,
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
                let refused = &loaded.batch.corrupt;
                train_loader::name(log, CorruptScope::Evaluation, refused);
                let Kept { pixels, labels, positions } = Kept::of(loaded.batch);
                let left = || positions.iter().map(|position| all[*position as usize]).collect();
                let indices = if refused.is_empty() { indices.into() } else { left() };
                Ok(Some(EvalBatch { indices, pixels, labels, refused: refused.len() as u64 }))
            }
        }
    }
}
