//! A batch without its corrupt images.

use std::borrow::Cow;

use super::ring::Batch;
use crate::batch::RawBatch;

impl Batch {
    /// The sound images of the batch, in their order. A batch without a corrupt image is lent as it is;
    /// of another one the sound images are copied.
    pub fn without_corrupt(&self) -> RawBatch<'_> {
        let (pixels, labels) = (&self.pixels[..], &self.labels[..]);
        let (piece, corrupt) = (self.piece.clone(), &self.corrupt[..]);
        let all = piece.positions.clone();
        if corrupt.is_empty() {
            let (pixels, labels) = (Cow::Borrowed(pixels), Cow::Borrowed(labels));
            return RawBatch { piece, pixels, labels, positions: all.collect(), corrupt };
        }
        let mut skipped = corrupt.iter().map(|one| one.at).peekable();
        let sound = labels.len() - corrupt.len();
        let image_bytes = pixels.len() / labels.len();
        let mut kept =
            (Vec::with_capacity(sound * image_bytes), Vec::with_capacity(sound), Vec::new());
        let images = pixels.chunks_exact(image_bytes).zip(labels).zip(all);
        for (at, ((image, label), position)) in images.enumerate() {
            if skipped.next_if_eq(&at).is_none() {
                kept.0.extend_from_slice(image);
                kept.1.push(*label);
                kept.2.push(position);
            }
        }
        let (pixels, labels, positions) = kept;
        RawBatch { piece, pixels: pixels.into(), labels: labels.into(), positions, corrupt }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{CorruptRecord, LoadError, Piece};
    use crate::decode::ImageError;

    /// Image i is twice the byte i, has label 100 + i and position 1000 + i; corrupt ones are black and
    /// have label −1, as the threads leave them.
    fn batch(corrupt: &[bool]) -> Batch {
        let images = corrupt.len() as u64;
        let error =
            || LoadError::Image { place: String::new(), index: 0, source: ImageError::Empty };
        let places = || (0..corrupt.len()).filter(|at| corrupt[*at]);
        let byte = |at: usize| if corrupt[at] { 0 } else { at as u8 };
        let label = |at: usize| if corrupt[at] { -1 } else { 100 + at as i64 };
        Batch {
            piece: Piece { epoch: 3, positions: 1000..1000 + images },
            pixels: (0..corrupt.len()).flat_map(|at| [byte(at); 2]).collect(),
            labels: (0..corrupt.len()).map(label).collect(),
            corrupt: places()
                .map(|at| CorruptRecord { at, position: 1000 + at as u64, error: error() })
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn the_others_stay_in_their_order_with_their_positions(
            corrupt in prop::collection::vec(any::<bool>(), 0..40)
        ) {
            let batch = batch(&corrupt);
            let sound = batch.without_corrupt();
            let left: Vec<usize> = (0..corrupt.len()).filter(|at| !corrupt[*at]).collect();
            let pixels: Vec<u8> = left.iter().flat_map(|at| [*at as u8; 2]).collect();
            let labels: Vec<i64> = left.iter().map(|at| 100 + *at as i64).collect();
            let positions: Vec<u64> = left.iter().map(|at| 1000 + *at as u64).collect();
            prop_assert_eq!((&sound.pixels[..], &sound.labels[..]), (&pixels[..], &labels[..]));
            prop_assert_eq!(&sound.positions, &positions);
            prop_assert_eq!(sound.positions.len() + sound.corrupt.len(), corrupt.len());
        }
    }

    #[test]
    fn a_batch_without_a_corrupt_image_is_not_copied() {
        let batch = batch(&[false; 3]);
        let sound = batch.without_corrupt();
        assert!(matches!((sound.pixels, sound.labels), (Cow::Borrowed(_), Cow::Borrowed(_))));
    }
}
