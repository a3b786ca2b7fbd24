//! Operations that replace every level by another, by a table per image or per channel, as in
//! Pillow's `ImageOps`.

use super::Canvas;

/// What becomes of each level.
type Table = [u8; 256];

/// Keeps the `bits` highest bits of each level: 0 gives black, 8 and more the image.
pub fn posterize(canvas: &mut Canvas, bits: u8) {
    let mask = !(0xff_u8.checked_shr(u32::from(bits)).unwrap_or(0));
    for level in canvas.pixels_mut() {
        *level &= mask;
    }
}

/// Inverts the levels from `threshold` on: 0 inverts all, 256 none.
pub fn solarize(canvas: &mut Canvas, threshold: u16) {
    for level in canvas.pixels_mut() {
        if u16::from(*level) >= threshold {
            *level = !*level;
        }
    }
}

/// Adds `amount` to the levels below 128 (timm's `SolarizeAdd`).
pub fn solarize_add(canvas: &mut Canvas, amount: u8) {
    for level in canvas.pixels_mut() {
        if *level < 128 {
            *level = level.saturating_add(amount);
        }
    }
}

/// Inverts all levels.
pub fn invert(canvas: &mut Canvas) {
    for level in canvas.pixels_mut() {
        *level = !*level;
    }
}

/// Stretches each channel so that its darkest level becomes 0 and its brightest 255. A channel of
/// one level stays as it is.
pub fn autocontrast(canvas: &mut Canvas) {
    map_channels(canvas, |histogram| {
        let low = histogram.iter().position(|&count| count > 0)?;
        let high = histogram.iter().rposition(|&count| count > 0)?;
        if low == high {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        // The cast cuts off fractions, and what lies outside 0..=255.
        Some(std::array::from_fn(|level| (level as f64 * scale + offset) as u8))
    });
}

/// Spreads the levels of each channel so that about as many pixels lie in one part of the scale as
/// in another of the same width. A channel in which all levels but the brightest are fewer than 255
/// pixels stays as it is.
pub fn equalize(canvas: &mut Canvas) {
    map_channels(canvas, |histogram| {
        let brightest = histogram.iter().rev().find(|&&count| count > 0)?;
        let step = (histogram.iter().sum::<u32>() - brightest) / 255;
        if step == 0 {
            return None;
        }
        let mut below = step / 2;
        Some(histogram.map(|count| {
            let level = below / step;
            below += count;
            level.min(255) as u8
        }))
    });
}

/// Gives every channel the table that `table` makes of its histogram, or leaves it as it is.
fn map_channels(canvas: &mut Canvas, table: impl Fn(&[u32; 256]) -> Option<Table>) {
    let pixels = canvas.colours_mut();
    let mut histograms = [[0; 256]; 3];
    for pixel in &*pixels {
        for (histogram, &level) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(level)] += 1;
        }
    }
    let unchanged: Table = std::array::from_fn(|level| level as u8);
    let tables = histograms.map(|histogram| table(&histogram).unwrap_or(unchanged));
    for pixel in pixels {
        for (table, level) in tables.iter().zip(pixel) {
            *level = table[usize::from(*level)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(pixels: &[u8], operation: impl FnOnce(&mut Canvas)) -> Vec<u8> {
        let mut canvas = Canvas::default();
        canvas.load(1, pixels.len() / 3, pixels);
        operation(&mut canvas);
        canvas.pixels().to_vec()
    }

    proptest! {
        #[test]
        fn limits_of_the_arguments(pixels in prop::collection::vec(any::<u8>(), 30)) {
            let inverted: Vec<u8> = pixels.iter().map(|level| 255 - level).collect();
            prop_assert_eq!(&after(&pixels, invert), &inverted);
            prop_assert_eq!(&after(&pixels, |canvas| solarize(canvas, 0)), &inverted);
            prop_assert_eq!(&after(&pixels, |canvas| solarize(canvas, 256)), &pixels);
            prop_assert_eq!(&after(&pixels, |canvas| solarize_add(canvas, 0)), &pixels);
            prop_assert_eq!(&after(&pixels, |canvas| posterize(canvas, 8)), &pixels);
            prop_assert_eq!(&after(&pixels, |canvas| posterize(canvas, 0)), &vec![0; 30]);
        }

        #[test]
        fn stretched_levels_fill_the_scale_in_the_same_order(
            pixels in prop::collection::vec(any::<u8>(), 900),
        ) {
            for operation in [autocontrast, equalize] {
                let after = after(&pixels, operation);
                for channel in 0..3 {
                    let pairs = pixels.iter().copied().zip(after.iter().copied());
                    let mut pairs: Vec<(u8, u8)> = pairs.skip(channel).step_by(3).collect();
                    pairs.sort_unstable();
                    prop_assert!(pairs.is_sorted_by_key(|pair| pair.1));
                    prop_assert!(pairs[0].1 <= 1 && pairs[299].1 >= 254, "{:?}", pairs);
                }
            }
        }
    }
}
