//! Brightness, contrast, saturation, sharpness, hue, and shades of grey.
//!
//! The first four are those of Pillow's `ImageEnhance`: the image is blended with a version of
//! itself that has lost the quality in question. A factor of 0 gives that version, 1 the image, and
//! more than 1 exaggerates. The arithmetic is Pillow's, in `f32`, cut off to whole levels.

use super::{Canvas, RgbPixel};
use crate::images::Shape;

/// Blends with black.
pub fn brightness(canvas: &mut Canvas, factor: f64) {
    blend_with_level(canvas, 0, factor as f32);
}

/// Blends with the mean of the image's grey levels.
pub fn contrast(canvas: &mut Canvas, factor: f64) {
    let pixels = canvas.colours_mut();
    let sum: u64 = pixels.iter().map(|&pixel| u64::from(grey(pixel))).sum();
    let mean = (sum as f64 / pixels.len() as f64 + 0.5) as u8;
    blend_with_level(canvas, mean, factor as f32);
}

/// Blends with the image in shades of grey. Pillow calls this `Color`, torchvision saturation.
pub fn saturation(canvas: &mut Canvas, factor: f64) {
    for pixel in canvas.colours_mut() {
        let grey = grey(*pixel);
        *pixel = pixel.map(|level| blend(grey, level, factor as f32));
    }
}

/// Blends with a smoothed image: Pillow's `SMOOTH`, which weighs a pixel by 5/13, its eight
/// neighbours by 1/13 each, and leaves the outermost pixels as they are.
pub fn sharpness(canvas: &mut Canvas, factor: f64) {
    let Shape { height, width, .. } = canvas.shape();
    if height < 3 || width < 3 {
        return;
    }
    canvas.redraw_rows(|source, row, target| {
        let at = row * width;
        target.copy_from_slice(&source[at..][..width]);
        if row == 0 || row == height - 1 {
            return;
        }
        let rows = [at - width, at, at + width].map(|start| &source[start..][..width]);
        for (x, pixel) in target[1..width - 1].iter_mut().enumerate() {
            let mut sums = pixel.map(|level| 4 * u32::from(level));
            for neighbour in rows.iter().flat_map(|row| &row[x..x + 3]) {
                for (sum, &level) in sums.iter_mut().zip(neighbour) {
                    *sum += u32::from(level);
                }
            }
            for (level, sum) in pixel.iter_mut().zip(sums) {
                *level = blend(((2 * sum + 13) / 26) as u8, *level, factor as f32);
            }
        }
    });
}

/// Turns the hue by `shift` turns, in -0.5..=0.5, as `adjust_hue` of torchvision does with Pillow:
/// the hue is a number of eight bits, 255 to the turn, and wraps around at 256.
pub fn hue(canvas: &mut Canvas, shift: f64) {
    let shift = (shift * 255.0) as i32 as u8;
    for pixel in canvas.colours_mut() {
        let [hue, saturation, value] = hsv(*pixel);
        *pixel = rgb([hue.wrapping_add(shift), saturation, value]);
    }
}

/// Gives all three channels the grey level of the pixel.
pub fn greyscale(canvas: &mut Canvas) {
    for pixel in canvas.colours_mut() {
        *pixel = [grey(*pixel); 3];
    }
}

/// The luma of ITU-R BT.601, in fixed point with 16 binary places: Pillow's `convert("L")`.
fn grey([red, green, blue]: RgbPixel) -> u8 {
    let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471;
    ((sum + (1 << 15)) >> 16) as u8
}

/// The level that lies `factor` of the way from `from` to `to`, within what a byte can hold.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let distance = f32::from(i16::from(to) - i16::from(from));
    // The cast cuts off fractions, and what lies outside 0..=255.
    (f32::from(from) + factor * distance) as u8
}

fn blend_with_level(canvas: &mut Canvas, from: u8, factor: f32) {
    for level in canvas.pixels_mut() {
        *level = blend(from, *level, factor);
    }
}

/// Hue, saturation and value, each of 0..=255 (Smith, "Color gamut transform pairs", SIGGRAPH
/// 1978), rounded as in Pillow's `convert("HSV")`.
fn hsv([red, green, blue]: RgbPixel) -> [u8; 3] {
    let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
    if high == low {
        return [0, 0, high];
    }
    let range = f32::from(high - low);
    let distance = |level: u8| f32::from(high - level) / range;
    let (r, g, b) = (distance(red), distance(green), distance(blue));
    // In sixths of a turn from red, to single precision, all else in double.
    let sixths = if red == high {
        b - g
    } else if green == high {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    let hue = (f64::from(sixths) / 6.0 + 1.0).fract() as f32;
    let saturation = range / f32::from(high);
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, high]
}

/// The inverse of [`hsv`], rounded as in Pillow's `convert("RGB")`.
fn rgb([hue, saturation, value]: [u8; 3]) -> RgbPixel {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let fraction = f64::from(sixths.fract() as f32);
    let saturation = f64::from(f32::from(saturation) / 255.0);
    let dimmed = |part: f64| (f64::from(value) * (1.0 - saturation * part)).round() as u8;
    let low = dimmed(1.0);
    let falling = dimmed(fraction);
    let rising = dimmed(1.0 - fraction);
    match sixths as u8 {
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        5 => [value, low, falling],
        // A hue of 255 is a whole turn.
        _ => [value, rising, low],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_factor_of_1_changes_nothing(pixels in prop::collection::vec(any::<u8>(), 4 * 5 * 3)) {
            for operation in [brightness, contrast, saturation, sharpness] {
                let mut canvas = Canvas::default();
                canvas.load(4, 5, &pixels);
                operation(&mut canvas, 1.0);
                prop_assert_eq!(canvas.pixels(), &pixels[..]);
            }
        }

        #[test]
        fn hue_leaves_the_brightest_level_and_greys_alone(pixel: [u8; 3], shift in -0.5..0.5) {
            let mut canvas = Canvas::default();
            canvas.load(1, 2, &[pixel, [pixel[0]; 3]].concat());
            hue(&mut canvas, shift);
            prop_assert_eq!(canvas.pixels()[..3].iter().max(), pixel.iter().max());
            prop_assert_eq!(&canvas.pixels()[3..], &[pixel[0]; 3]);
        }
    }

    #[test]
    fn shades_of_grey_do_not_drift() {
        for level in 0..=255 {
            assert_eq!(grey([level; 3]), level);
        }
        assert_eq!([grey([255, 0, 0]), grey([0, 255, 0]), grey([0, 0, 255])], [76, 150, 29]);
    }
}
