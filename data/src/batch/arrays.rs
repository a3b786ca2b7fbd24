//! Batches of images in memory.

use std::borrow::Cow;
use std::time::Duration;

use super::batches::{Batches, Pieces, RawBatch};
use super::sampled::SampledImages;
use crate::DataError;

/// Batches of images in memory, copied and augmented by the loop that asks for them: that costs less
/// than handing them from thread to thread.
pub struct ArrayBatches {
    images: SampledImages,
    pieces: Pieces,
    pixels: Vec<u8>,
    labels: Vec<i64>,
}

impl ArrayBatches {
    /// The `pieces` of `images`.
    pub fn new(images: SampledImages, pieces: Pieces) -> Self {
        Self { images, pieces, pixels: Vec::new(), labels: Vec::new() }
    }
}

impl Batches for ArrayBatches {
    fn next(&mut self) -> Result<Option<RawBatch<'_>>, DataError> {
        let Some(piece) = self.pieces.next() else { return Ok(None) };
        let (pixels, labels) = (&mut self.pixels, &mut self.labels);
        self.images.fill(piece.epoch, piece.positions.clone(), 0, pixels, labels);
        Ok(Some(RawBatch {
            positions: piece.positions.clone().collect(),
            piece,
            pixels: Cow::Borrowed(pixels),
            labels: Cow::Borrowed(labels),
            corrupt: &[],
        }))
    }

    fn take_waited(&mut self) -> Duration {
        Duration::ZERO
    }
}
