//! The colour of a place between pixels.

use super::RgbPixel;

/// How an image is read at places that are not the middle of a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// The pixel that the place lies in.
    #[default]
    Nearest,
    /// A straight line between 2 × 2 pixels.
    Bilinear,
    /// A cubic between 4 × 4 pixels, which sharpens a little (Keys, "Cubic convolution
    /// interpolation for digital image processing", 1981, with a = −1).
    Bicubic,
}

/// How an image is read where its pixels move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Between the pixels.
    pub interpolation: Interpolation,
    /// What lies outside the image.
    pub fill: RgbPixel,
}

impl Reading {
    /// Nearest pixels, and `fill` outside.
    pub const fn nearest(fill: RgbPixel) -> Self {
        Self { interpolation: Interpolation::Nearest, fill }
    }
}

/// The colours of an image by place. Places are measured from the upper left corner, so that the
/// middle of the first pixel is (½, ½); beyond the image its outermost pixels go on.
///
/// In double precision and cut off to whole levels, as in Pillow's `Image.transform`.
pub(super) struct Between<'a> {
    pub(super) pixels: &'a [RgbPixel],
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Between<'_> {
    /// The colour on the lines between 2 × 2 pixels.
    pub(super) fn bilinear(&self, x: f64, y: f64) -> RgbPixel {
        let ([left, top], [across, down]) = parts(x, y);
        let between = |from: f64, to: f64, part: f64| from + (to - from) * part;
        let corner = |column: i64, row: i64| self.at(left + column, top + row);
        let (upper, lower) = ([corner(0, 0), corner(1, 0)], [corner(0, 1), corner(1, 1)]);
        std::array::from_fn(|channel| {
            let [above, below] = [upper, lower].map(|[from, to]| {
                between(f64::from(from[channel]), f64::from(to[channel]), across)
            });
            between(above, below, down) as u8
        })
    }

    /// The colour on the cubics through 4 × 4 pixels.
    pub(super) fn bicubic(&self, x: f64, y: f64) -> RgbPixel {
        let ([left, top], [across, down]) = parts(x, y);
        let pixels: [[RgbPixel; 4]; 4] = std::array::from_fn(|row| {
            std::array::from_fn(|column| self.at(left - 1 + column as i64, top - 1 + row as i64))
        });
        std::array::from_fn(|channel| {
            let rows = pixels.map(|row| cubic(row.map(|pixel| f64::from(pixel[channel])), across));
            // The cast cuts off fractions, and what lies outside 0..=255.
            cubic(rows, down) as u8
        })
    }

    fn at(&self, column: i64, row: i64) -> RgbPixel {
        let within = |place: i64, size: usize| place.clamp(0, size as i64 - 1) as usize;
        self.pixels[within(row, self.height) * self.width + within(column, self.width)]
    }
}

/// The pixel whose middle lies left of and above a place, and how far the place is from there.
fn parts(x: f64, y: f64) -> ([i64; 2], [f64; 2]) {
    let places = [x - 0.5, y - 0.5];
    let whole = places.map(f64::floor);
    (whole.map(|place| place as i64), [places[0] - whole[0], places[1] - whole[1]])
}

/// The cubic through four values, `part` of the way from the second to the third.
fn cubic([a, b, c, d]: [f64; 4], part: f64) -> f64 {
    let linear = -a + c;
    let square = 2.0 * (a - b) + c - d;
    let third = -a + b - c + d;
    b + part * (linear + part * (square + part * third))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_middle_of_a_pixel_has_its_colour(
            (width, height) in (1_usize..6, 1_usize..6), colours in any::<[RgbPixel; 25]>(),
            (column, row) in (0_usize..6, 0_usize..6),
        ) {
            let (column, row) = (column % width, row % height);
            let between = Between { pixels: &colours[..width * height], width, height };
            let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
            let expected = colours[row * width + column];
            prop_assert_eq!(between.bilinear(x, y), expected);
            prop_assert_eq!(between.bicubic(x, y), expected);
        }

        #[test]
        fn a_line_is_never_left(ends: [u8; 2], x in 0.0..4.0) {
            let pixels = [[ends[0]; 3], [ends[1]; 3]];
            let between = Between { pixels: &pixels, width: 2, height: 1 };
            let level = between.bilinear(x, 0.3)[0];
            prop_assert!((ends[0].min(ends[1])..=ends[0].max(ends[1])).contains(&level));
        }
    }
}
