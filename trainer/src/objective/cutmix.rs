//! `CutMix`: where a rectangle of one image goes into another.

use std::ops::Range;

/// A rectangle of pixels, the same in all images of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Its rows.
    pub rows: Range<i64>,
    /// Its columns.
    pub columns: Range<i64>,
}

impl Patch {
    /// The rectangle with sides of √(1 − λ) of the image's, centred where `centre` (row, column, each in [0, 1) of the
    /// image) says and cut off at its edges (Yun et al., ICCV 2019, section 3.1). Beside it what is left of the image,
    /// in [0, 1]: λ, but for what was cut off and rounded.
    pub fn drawn(lambda: f64, centre: (f64, f64), (height, width): (i64, i64)) -> (Self, f64) {
        let side = (1.0 - lambda).max(0.0).sqrt();
        let range = |length: i64, centre: f64| {
            let half = (length as f64 * side) as i64 / 2;
            let middle = (length as f64 * centre) as i64;
            (middle - half).clamp(0, length)..(middle + half).clamp(0, length)
        };
        let patch = Self { rows: range(height, centre.0), columns: range(width, centre.1) };
        let pixels =
            (patch.rows.end - patch.rows.start) * (patch.columns.end - patch.columns.start);
        let left = 1.0 - pixels as f64 / (height * width) as f64;
        (patch, left)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_left_is_what_is_not_covered(
            lambda in 0.0..1.0_f64,
            centre in (0.0..1.0_f64, 0.0..1.0_f64),
            size in (1_i64..50, 1_i64..50),
        ) {
            let (Patch { rows, columns }, left) = Patch::drawn(lambda, centre, size);
            prop_assert!(0 <= rows.start && rows.end <= size.0);
            prop_assert!(0 <= columns.start && columns.end <= size.1);
            let covered = rows.count() * columns.count();
            prop_assert!((left - (1.0 - covered as f64 / (size.0 * size.1) as f64)).abs() < 1e-12);
            prop_assert!(left >= lambda - 1e-12, "a rectangle is never larger than drawn");
        }
    }

    #[test]
    fn a_rectangle_in_the_middle_has_the_area_that_was_drawn() {
        let (patch, left) = Patch::drawn(0.75, (0.5, 0.5), (32, 32));
        assert_eq!(patch, Patch { rows: 8..24, columns: 8..24 });
        assert!((left - 0.75).abs() < 1e-12);
    }
}
