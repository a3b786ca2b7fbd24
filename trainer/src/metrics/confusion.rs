//! The confusion matrix, kept sparse: 8,142 classes squared would be half a gigabyte, almost all of
//! it zeros.

use std::collections::BTreeMap;

/// How often an image of one class was taken for another.
///
/// ```text
/// on the wire, little-endian, one record per cell that is not zero:
///   true class u32 | predicted class u32 | images u64
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confusion {
    cells: BTreeMap<(u32, u32), u64>,
}

const RECORD: usize = 16;

impl Confusion {
    /// Counts one image.
    pub fn record(&mut self, truth: u32, predicted: u32) {
        *self.cells.entry((truth, predicted)).or_default() += 1;
    }

    /// Adds the counts of another part of the images.
    pub fn add(&mut self, other: &Confusion) {
        for (cell, images) in &other.cells {
            *self.cells.entry(*cell).or_default() += images;
        }
    }

    /// Images counted.
    pub fn images(&self) -> u64 {
        self.cells.values().sum()
    }

    /// Images of each class, and how many of them were recognised; both indexed by class.
    pub fn per_class(&self, classes: usize) -> (Vec<u64>, Vec<u64>) {
        let (mut images, mut correct) = (vec![0; classes], vec![0; classes]);
        for ((truth, predicted), count) in &self.cells {
            images[*truth as usize] += count;
            if truth == predicted {
                correct[*truth as usize] += count;
            }
        }
        (images, correct)
    }

    /// The mean of per-class accuracies over the classes that have images; nothing when there are
    /// none.
    pub fn balanced_accuracy(&self, classes: usize) -> Option<f64> {
        let (images, correct) = self.per_class(classes);
        super::report::mean_accuracy(&images, &correct, 0..classes)
    }

    /// The cells as bytes, to be gathered from all ranks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.cells.len() * RECORD);
        for ((truth, predicted), images) in &self.cells {
            bytes.extend_from_slice(&truth.to_le_bytes());
            bytes.extend_from_slice(&predicted.to_le_bytes());
            bytes.extend_from_slice(&images.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Confusion::to_bytes`] wrote; nothing when the bytes are not whole records.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (records, rest) = bytes.as_chunks::<RECORD>();
        if !rest.is_empty() {
            return None;
        }
        let mut cells = BTreeMap::new();
        for [t0, t1, t2, t3, p0, p1, p2, p3, n @ ..] in records {
            let truth = u32::from_le_bytes([*t0, *t1, *t2, *t3]);
            let predicted = u32::from_le_bytes([*p0, *p1, *p2, *p3]);
            *cells.entry((truth, predicted)).or_default() += u64::from_le_bytes(*n);
        }
        Some(Self { cells })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn confusion(rows: &[(u32, u32)]) -> Confusion {
        let mut confusion = Confusion::default();
        for (truth, predicted) in rows {
            confusion.record(*truth, *predicted);
        }
        confusion
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(
            rows in prop::collection::vec((0_u32..9, 0_u32..9), 0..80), cut in 0_usize..80
        ) {
            let (first, second) = rows.split_at(cut.min(rows.len()));
            let mut sum = confusion(first);
            let bytes = confusion(second).to_bytes();
            sum.add(&Confusion::from_bytes(&bytes).unwrap());
            prop_assert_eq!(&sum, &confusion(&rows));
            prop_assert_eq!(sum.images(), rows.len() as u64);
        }
    }

    #[test]
    fn a_class_without_images_does_not_count_in_the_mean() {
        let counted = confusion(&[(0, 0), (0, 1), (2, 2)]);
        assert_eq!(counted.balanced_accuracy(4), Some(0.75));
        assert_eq!(Confusion::default().balanced_accuracy(4), None);
    }

    #[test]
    fn half_a_record_is_refused() {
        assert_eq!(Confusion::from_bytes(&[0; 17]), None);
    }
}
