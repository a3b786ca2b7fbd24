//! A job: some images of one batch, filled by one thread.

use std::ops::Range;

use crate::augment::Canvas;
use crate::batch::{CorruptRecord, LoadError};
use crate::decode::Decoder;
use crate::random::{Purpose, Stream};
use crate::sampler::EpochOrder;

use super::source::ImageSource;
use super::view::View;

/// The label of a corrupt image that is skipped. Its pixels are black, and whoever uses the batch
/// leaves it out.
pub const SKIPPED_LABEL: i64 = -1;

/// What every thread knows.
pub(super) struct ImageWork {
    pub(super) source: Box<dyn ImageSource>,
    /// Maps places in the order to images of the source; all of them where there is none.
    pub(super) indices: Option<Vec<u32>>,
    pub(super) view: View,
    pub(super) seed: u64,
}

/// The buffers that a thread keeps from job to job.
#[derive(Default)]
pub(super) struct DecodeScratch {
    decoder: Decoder,
    canvas: Canvas,
    bytes: Vec<u8>,
}

impl ImageWork {
    /// Fills `pixels` with the images at `positions` of `epoch`, and returns their labels and those that
    /// are corrupt; `first` is the place of the first of them in its batch.
    pub(super) fn fill(
        &self,
        epoch: u64,
        order: &EpochOrder,
        positions: Range<u64>,
        first: usize,
        pixels: &mut [u8],
        scratch: &mut DecodeScratch,
    ) -> (Vec<i64>, Vec<CorruptRecord>) {
        let (mut labels, mut corrupt) = (Vec::new(), Vec::new());
        let targets = pixels.chunks_exact_mut(self.view.shape.bytes());
        for ((at, position), target) in (first..).zip(positions).zip(targets) {
            let place = order.at(position);
            let index = self.indices.as_ref().map_or(place, |all| u64::from(all[place as usize]));
            let mut stream = Stream::new(self.seed, Purpose::Augment, epoch, position, 0);
            match self.load(index as usize, &mut stream, target, scratch) {
                Ok(label) => labels.push(label),
                Err(error) => {
                    target.fill(0);
                    labels.push(SKIPPED_LABEL);
                    corrupt.push(CorruptRecord { at, position, error });
                }
            }
        }
        (labels, corrupt)
    }

    fn load(
        &self,
        index: usize,
        stream: &mut Stream,
        target: &mut [u8],
        scratch: &mut DecodeScratch,
    ) -> Result<i64, LoadError> {
        let label = self.source.label(index)?;
        let image = self.source.image(index, &mut scratch.bytes)?;
        let hands = (&mut scratch.decoder, &mut scratch.canvas);
        let rendered = self.view.render(image, stream, hands, target);
        rendered.map_err(|source| LoadError::Image {
            place: self.source.place(index),
            index: index as u64,
            source,
        })?;
        Ok(i64::from(label))
    }
}
