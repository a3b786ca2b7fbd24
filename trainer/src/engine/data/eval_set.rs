//! The images of an evaluation set, in the batches that one rank measures.

use std::borrow::Cow;

use lcsl_data::DataError;
use lcsl_data::batch::{Batches, ImageStream, Piece};

use crate::corrupt::{CorruptLog, CorruptScope};
use crate::engine::data::train_loader::log_skipped;
use crate::engine::evaluation::evaluate::EvalSet;

/// Batches that are decoded before they are asked for.
const BATCHES_AHEAD: usize = 1;

/// Some images of an evaluation set, without corrupt ones; there may be none left.
pub(crate) struct EvalBatch<'a> {
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
        let indices = if batch.corrupt.is_empty() {
            let places = batch.piece.positions.start as usize..batch.piece.positions.end as usize;
            Cow::Borrowed(&self.indices[places])
        } else {
            batch.positions.iter().map(|position| self.indices[*position as usize]).collect()
        };
        let skipped = batch.corrupt.len() as u64;
        Ok(Some(EvalBatch { indices, pixels: batch.pixels, labels: batch.labels, skipped }))
    }
}
