//! A batch without its corrupt images.

use std::borrow::Cow;

use super::ring::Batch;

/// The sound images of a batch, in their order. A batch without a corrupt image is lent as it is; of
/// another one the sound images are copied.
#[derive(Debug)]
pub struct Kept<'a> {
    /// The images: NHWC, 8 bits, not normalised, without gaps.
    pub pixels: Cow<'a, [u8]>,
    /// Their classes.
    pub labels: Cow<'a, [i64]>,
    /// Their positions in the epoch, ascending; with gaps where corrupt images were skipped.
    pub positions: Vec<u64>,
}

impl<'a> Kept<'a> {
    /// Skips the corrupt images of `batch`.
    pub fn of(batch: &'a Batch) -> Self {
        let (pixels, labels) = (&batch.pixels[..], &batch.labels[..]);
        let all = batch.piece.positions.clone();
        if batch.corrupt.is_empty() {
            let (pixels, labels) = (Cow::Borrowed(pixels), Cow::Borrowed(labels));
            return Self { pixels, labels, positions: all.collect() };
        }
        let mut corrupt = batch.corrupt.iter().map(|one| one.at).peekable();
        let left = labels.len() - batch.corrupt.len();
        let image_bytes = pixels.len() / labels.len();
        let mut kept =
            (Vec::with_capacity(left * image_bytes), Vec::with_capacity(left), Vec::new());
        let images = pixels.chunks_exact(image_bytes).zip(labels).zip(all);
        for (at, ((image, label), position)) in images.enumerate() {
            if corrupt.next_if_eq(&at).is_none() {
                kept.0.extend_from_slice(image);
                kept.1.push(*label);
                kept.2.push(position);
            }
        }
        let (pixels, labels, positions) = kept;
        Self { pixels: Cow::Owned(pixels), labels: Cow::Owned(labels), positions }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::ImageError;
    use crate::loader::{CorruptRecord, LoadError, Piece};

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
            let kept = Kept::of(&batch);
            let left: Vec<usize> = (0..corrupt.len()).filter(|at| !corrupt[*at]).collect();
            let pixels: Vec<u8> = left.iter().flat_map(|at| [*at as u8; 2]).collect();
            let labels: Vec<i64> = left.iter().map(|at| 100 + *at as i64).collect();
            let positions: Vec<u64> = left.iter().map(|at| 1000 + *at as u64).collect();
            prop_assert_eq!((&kept.pixels[..], &kept.labels[..]), (&pixels[..], &labels[..]));
            prop_assert_eq!(kept.positions, positions);
        }
    }

    #[test]
    fn a_batch_without_a_corrupt_image_is_not_copied() {
        let batch = batch(&[false; 3]);
        let kept = Kept::of(&batch);
        assert!(matches!((kept.pixels, kept.labels), (Cow::Borrowed(_), Cow::Borrowed(_))));
    }
}
