//! Some images of one batch, filled by one thread.

use std::ops::Range;

use crate::DataError;
use crate::augment::Canvas;
use crate::decode::{Decoder, ImageError};
use crate::random::{Purpose, Stream};
use crate::sampler::Order;

use super::source::Source;
use super::view::View;

/// The label of an image that was refused where refusals are counted. Its pixels are black, and
/// whoever uses the batch leaves it out.
pub const REFUSED_LABEL: i64 = -1;

/// Why a batch cannot be had, and where the fault lies.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are there, but they are no image that is accepted.
    #[error("{place}: {source}")]
    Image {
        /// File or shard, record and offset.
        place: String,
        /// Index of the image in its source.
        index: u64,
        /// What is wrong with it.
        source: ImageError,
    },
    /// The bytes cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl LoadError {
    /// Whether one record is at fault, and the others of its shard may be good.
    pub fn is_of_one_record(&self) -> bool {
        match self {
            Self::Image { .. } => true,
            Self::Data(error) => error.is_of_one_record(),
        }
    }
}

impl From<LoadError> for DataError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Image { place, source, .. } => {
                Self::Image { place, what: source.to_string(), hint: source.hint() }
            }
            LoadError::Data(error) => error,
        }
    }
}

/// An image that was left out of a batch.
#[derive(Debug)]
pub struct Refused {
    /// Its place in the batch.
    pub at: usize,
    /// Its position in the epoch.
    pub position: u64,
    /// What is wrong with it.
    pub error: LoadError,
}

/// What every thread knows.
pub(super) struct Work {
    pub(super) source: Box<dyn Source>,
    /// Maps places in the order to images of the source; all of them where there is none.
    pub(super) indices: Option<Vec<u32>>,
    pub(super) view: View,
    pub(super) seed: u64,
}

/// What a thread keeps from part to part.
#[derive(Default)]
pub(super) struct Bench {
    decoder: Decoder,
    canvas: Canvas,
    scratch: Vec<u8>,
}

impl Work {
    /// Fills `pixels` with the images at `positions` of `epoch`, and returns their labels and what
    /// was refused; `first` is the place of the first of them in its batch.
    pub(super) fn fill(
        &self,
        epoch: u64,
        order: &Order,
        positions: Range<u64>,
        first: usize,
        pixels: &mut [u8],
        bench: &mut Bench,
    ) -> (Vec<i64>, Vec<Refused>) {
        let (mut labels, mut refused) = (Vec::new(), Vec::new());
        let targets = pixels.chunks_exact_mut(self.view.shape.bytes());
        for ((at, position), target) in (first..).zip(positions).zip(targets) {
            let place = order.at(position);
            let index = self.indices.as_ref().map_or(place, |all| u64::from(all[place as usize]));
            let mut stream = Stream::new(self.seed, Purpose::Augment, epoch, position, 0);
            match self.one(index as usize, &mut stream, target, bench) {
                Ok(label) => labels.push(label),
                Err(error) => {
                    target.fill(0);
                    labels.push(REFUSED_LABEL);
                    refused.push(Refused { at, position, error });
                }
            }
        }
        (labels, refused)
    }

    fn one(
        &self,
        index: usize,
        stream: &mut Stream,
        target: &mut [u8],
        bench: &mut Bench,
    ) -> Result<i64, LoadError> {
        let label = self.source.label(index)?;
        let image = self.source.image(index, &mut bench.scratch)?;
        let hands = (&mut bench.decoder, &mut bench.canvas);
        let taken = self.view.take(image, stream, hands, target);
        taken.map_err(|source| LoadError::Image {
            place: self.source.place(index),
            index: index as u64,
            source,
        })?;
        Ok(i64::from(label))
    }
}
