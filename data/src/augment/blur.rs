//! Gaussian blur.

use super::Canvas;

/// How often a box is run over the image: three make nearly a Gaussian.
const PASSES: usize = 3;

/// Blurs with a Gaussian of a standard deviation of `sigma` pixels, 0 for none; the outermost
/// pixels go on for ever outside the image.
///
/// Like Pillow's `ImageFilter.GaussianBlur` this is three box blurs per direction with a width that
/// need not be whole (Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended
/// box filtering", SSVM 2011), so that the time does not depend on `sigma`.
///
/// # Panics
/// When `sigma` is negative, not a number, or 1000 and more.
pub fn gaussian(canvas: &mut Canvas, sigma: f64) {
    assert!((0.0..1000.0).contains(&sigma), "a standard deviation of {sigma} pixels");
    let filter = BoxFilter::with_deviation(sigma as f32);
    let shape = canvas.shape();
    let mut sums = std::mem::take(&mut canvas.sums);
    sums.resize(shape.row_bytes(), 0);
    for _ in 0..PASSES {
        canvas.redraw(|source, target| {
            let rows = source.chunks_exact(shape.row_bytes());
            for (source, target) in rows.zip(target.chunks_exact_mut(shape.row_bytes())) {
                filter.run(source, target, &mut sums[..shape.channels]);
            }
        });
    }
    for _ in 0..PASSES {
        canvas.redraw(|source, target| filter.run(source, target, &mut sums));
    }
    canvas.sums = sums;
}

/// A mean over `2 · radius + 1` neighbours and a fraction of the two beyond them.
#[derive(Debug)]
struct BoxFilter {
    radius: usize,
    /// Weight of a neighbour, in units of 2^-24.
    inner: u32,
    /// Weight of each of the two beyond them, in the same units.
    outer: u32,
}

impl BoxFilter {
    /// The box that, run [`PASSES`] times, has a standard deviation of `sigma` pixels. In single
    /// precision, as in Pillow; the numbers in brackets are the article's equations.
    fn with_deviation(sigma: f32) -> Self {
        let variance = sigma * sigma / PASSES as f32;
        // The length of the box [7], and the whole part of its radius [11].
        let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
        let whole = ((length - 1.0) / 2.0).floor();
        // The fractional part [14].
        let next = (whole + 1.0) * (whole + 1.0);
        let fraction = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance)
            / (6.0 * (variance - next));

        let one = 1_u32 << 24;
        let radius = whole as usize;
        let inner = (one as f32 / ((whole + fraction) * 2.0 + 1.0)) as u32;
        let outer = one.saturating_sub((2 * radius as u32 + 1) * inner) / 2;
        Self { radius, inner, outer }
    }

    /// Writes the blurred `source` into `target`. Both are a sequence of steps of `sums.len()`
    /// bytes; the filter runs along the steps and keeps the bytes of a step apart. What `sums`
    /// holds does not matter.
    fn run(&self, source: &[u8], target: &mut [u8], sums: &mut [u32]) {
        let lanes = sums.len();
        let last = source.len() / lanes - 1;
        let step = |number: usize| &source[number.min(last) * lanes..][..lanes];
        let radius = self.radius;

        // The neighbours of a step before the first one.
        for (sum, &first) in sums.iter_mut().zip(step(0)) {
            *sum = u32::from(first) * (radius as u32 + 1);
        }
        for number in 0..radius {
            for (sum, &level) in sums.iter_mut().zip(step(number)) {
                *sum += u32::from(level);
            }
        }
        for (number, target) in target.chunks_exact_mut(lanes).enumerate() {
            let gone = step(number.saturating_sub(radius + 1));
            let come = step(number + radius);
            let beyond = step(number + radius + 1);
            let inputs = gone.iter().zip(come).zip(beyond);
            for ((sum, target), ((&gone, &come), &beyond)) in
                sums.iter_mut().zip(target).zip(inputs)
            {
                *sum = *sum + u32::from(come) - u32::from(gone);
                let outside = (u32::from(gone) + u32::from(beyond)) * self.outer;
                *target = ((*sum * self.inner + outside + (1 << 23)) >> 24) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_image_of_one_colour_stays_as_it_is(
            (height, width) in (1_usize..9, 1_usize..9), colour: [u8; 3], sigma in 0.0..20.0,
        ) {
            let pixels = colour.repeat(height * width);
            let mut canvas = Canvas::default();
            canvas.load(height, width, &pixels);
            gaussian(&mut canvas, sigma);
            prop_assert_eq!(canvas.pixels(), pixels);
        }

        #[test]
        fn weights_are_those_of_a_mean(sigma in 0.0_f32..1000.0) {
            let filter = BoxFilter::with_deviation(sigma);
            let neighbours = 2 * filter.radius as u32 + 1;
            let sum = neighbours * filter.inner + 2 * filter.outer;
            prop_assert!(sum.abs_diff(1 << 24) <= 1, "{:?}", filter);
            // Three boxes have three times the variance of one.
            let squares: f64 = (1..=filter.radius).map(|x| 2.0 * (x * x) as f64).sum();
            let beyond = (filter.radius + 1) as f64;
            let variance = f64::from(filter.inner) * squares
                + 2.0 * f64::from(filter.outer) * beyond * beyond;
            let deviation = (3.0 * variance / f64::from(1 << 24)).sqrt();
            prop_assert!((deviation - f64::from(sigma)).abs() < 0.01 + 1e-3 * f64::from(sigma));
        }
    }
}
