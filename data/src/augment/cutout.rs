//! A square that is missing.

use super::{Canvas, RgbPixel};
use crate::images::Shape;
use crate::random::Stream;

/// Fills a square around a random pixel with `fill` (`DeVries` and Taylor, "Improved regularization
/// of convolutional neural networks with cutout", 2017).
///
/// Every pixel is the middle with the same probability, so that part of the square may lie outside.
/// The square reaches `side / 2` pixels up and left of the middle and as many, with the middle,
/// down and right, as in the authors' program: an odd `side` is taken for the next smaller number.
pub fn cutout(canvas: &mut Canvas, side: usize, fill: RgbPixel, stream: &mut Stream) {
    let Shape { height, width, .. } = canvas.shape();
    let reach = side / 2;
    // The order of these draws is part of what a seed means.
    let y = stream.below(height as u64) as usize;
    let x = stream.below(width as u64) as usize;
    let rows = y.saturating_sub(reach)..y.saturating_add(reach).min(height);
    let columns = x.saturating_sub(reach)..x.saturating_add(reach).min(width);
    for row in canvas.colours_mut().chunks_exact_mut(width).take(rows.end).skip(rows.start) {
        row[columns.clone()].fill(fill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_missing_is_a_rectangle_no_larger_than_the_square(
            (height, width, side) in (1_usize..12, 1_usize..12, 2_usize..9), c: u64,
        ) {
            let mut canvas = Canvas::default();
            canvas.load(height, width, &vec![1; height * width * 3]);
            cutout(&mut canvas, side, [9; 3], &mut Stream::new(1, Purpose::Augment, 0, 0, c));
            let missing = |row, column| canvas.pixels()[(row * width + column) * 3] == 9;
            let rows = (0..height).filter(|&row| (0..width).any(|column| missing(row, column)));
            let columns = (0..width).filter(|&column| (0..height).any(|row| missing(row, column)));
            let (rows, columns) = (rows.count(), columns.count());
            let sum: usize = canvas.pixels().iter().map(|&level| usize::from(level)).sum();
            prop_assert_eq!(sum, height * width * 3 + rows * columns * 3 * 8);
            let even = side / 2 * 2;
            prop_assert!((even / 2..=even).contains(&rows) || rows == height);
            prop_assert!((even / 2..=even).contains(&columns) || columns == width);
        }
    }

    #[test]
    fn every_pixel_is_the_middle_of_as_many_squares() {
        // A square of side 2 has its lower right pixel in the middle.
        let mut seen = std::collections::BTreeMap::new();
        for c in 0..12_000 {
            let mut canvas = Canvas::default();
            canvas.load(3, 4, &[0; 36]);
            cutout(&mut canvas, 2, [1; 3], &mut Stream::new(1, Purpose::Augment, 0, 0, c));
            let lowest = canvas.pixels().iter().rposition(|&level| level == 1).expect("a square");
            *seen.entry(lowest).or_insert(0_u32) += 1;
        }
        assert_eq!(seen.len(), 2 * 3 + 3 + 2 + 1);
        // The standard deviation of each count is about 30.
        assert!(seen.values().all(|count| count.abs_diff(1_000) < 160), "{seen:?}");
    }
}
