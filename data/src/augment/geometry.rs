//! Pixels that move: crop, mirror image, shear, translation, rotation.
//!
//! Rows are copied whole where they can be; no pixel is looked at on its own unless the image is
//! mirrored, sheared or rotated. Shear, translation and rotation read the image between its pixels
//! where they are asked to.

use super::interpolation::Between;
use super::{Canvas, Interpolation, Reading};
use crate::images::Shape;

/// Copies the window whose upper left corner lies at row `top`, column `left` of `source`, and
/// mirrors it left to right where asked to; black where that is outside.
pub(super) fn crop(
    shape: Shape,
    top: isize,
    left: isize,
    mirrored: bool,
    source: &[u8],
    target: &mut [u8],
) {
    let Shape { height, width, channels } = shape;
    // The columns of the window that lie inside the source, and where the first of them comes from.
    let start = (-left).clamp(0, width as isize) as usize;
    let end = (width as isize - left).clamp(0, width as isize) as usize;
    let from = left.clamp(0, width as isize) as usize;
    let inside = if mirrored { width - end..width - start } else { start..end };
    let inside = inside.start * channels..inside.end * channels;

    for (row, target) in (top..).zip(target.chunks_exact_mut(shape.row_bytes())) {
        if !(0..height as isize).contains(&row) {
            target.fill(0);
            continue;
        }
        let first = row as usize * shape.row_bytes() + from * channels;
        let source = &source[first..][..inside.len()];
        target[..inside.start].fill(0);
        target[inside.end..].fill(0);
        let target = &mut target[inside.clone()];
        if mirrored {
            copy_mirrored(channels, source, target);
        } else {
            target.copy_from_slice(source);
        }
    }
}

/// Copies the pixels of a row from last to first.
fn copy_mirrored(channels: usize, source: &[u8], target: &mut [u8]) {
    match channels {
        1 => target.iter_mut().zip(source.iter().rev()).for_each(|(to, from)| *to = *from),
        3 => copy_colours_mirrored(source, target),
        _ => {
            let pixels = source.chunks_exact(channels).rev();
            for (target, source) in target.chunks_exact_mut(channels).zip(pixels) {
                target.copy_from_slice(source);
            }
        }
    }
}

/// [`copy_mirrored`] of three channels: every pixel moves as one word of four bytes, the last of which is
/// overwritten by the pixel after it.
fn copy_colours_mirrored(source: &[u8], target: &mut [u8]) {
    let pixels = source.len() / 3;
    let Some(last) = pixels.checked_sub(1) else { return };
    // Only the pixel that is last in the source, and first here, has no fourth byte to be read ...
    target[..3].copy_from_slice(&source[3 * last..3 * pixels]);
    for to in 1..last {
        let from = 3 * (last - to);
        target[3 * to..3 * to + 4].copy_from_slice(&source[from..from + 4]);
    }
    // ... and only that which is last here no fourth byte to be written.
    target[3 * last..3 * pixels].copy_from_slice(&source[..3]);
}

/// Mirrors left to right.
pub fn mirror(canvas: &mut Canvas) {
    let shape = canvas.shape();
    canvas.redraw(|source, target| crop(shape, 0, 0, true, source, target));
}

/// Shears along rows: the row whose centre is `y` below the upper edge moves left by `factor · y`
/// pixels; negative factors move to the right.
pub fn shear_x(canvas: &mut Canvas, factor: f64, reading: Reading) {
    affine(canvas, [[1.0, factor, 0.0], [0.0, 1.0, 0.0]], reading);
}

/// Shears along columns: the column whose centre is `x` right of the left edge moves up by
/// `factor · x` pixels; negative factors move down.
pub fn shear_y(canvas: &mut Canvas, factor: f64, reading: Reading) {
    affine(canvas, [[1.0, 0.0, 0.0], [factor, 1.0, 0.0]], reading);
}

/// Moves left by `pixels`, rounded to whole ones, halves up, where nearest pixels are asked for;
/// negative numbers move to the right.
pub fn translate_x(canvas: &mut Canvas, pixels: f64, reading: Reading) {
    translate(canvas, pixels, 0.0, reading);
}

/// Moves up by `pixels`, rounded to whole ones, halves up, where nearest pixels are asked for;
/// negative numbers move down.
pub fn translate_y(canvas: &mut Canvas, pixels: f64, reading: Reading) {
    translate(canvas, 0.0, pixels, reading);
}

/// Turns by `degrees` about the centre, anticlockwise, in an image of the same size.
pub fn rotate(canvas: &mut Canvas, degrees: f64, reading: Reading) {
    // Fifteen decimal places, so that a quarter turn has a cosine of exactly 0; through text, because
    // a product with 10^15 would itself be rounded.
    let rounded = |x: f64| format!("{x:.15}").parse().unwrap_or(x);
    // Pillow's way around, whose last digits differ; and the machine's sine may differ from another's.
    let (sine, cosine) = libm::sincos(-degrees.rem_euclid(360.0).to_radians());
    let (sine, cosine): (f64, f64) = (rounded(sine), rounded(cosine));
    let Shape { height, width, .. } = canvas.shape();
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    // In this order, so that rounding is Pillow's.
    let offset = [-cosine * x - sine * y + x, sine * x - cosine * y + y];
    affine(canvas, [[cosine, sine, offset[0]], [-sine, cosine, offset[1]]], reading);
}

/// Shears along rows by `factor` about the centre, then turns by `degrees` about it, anticlockwise; pixels are read
/// once.
pub fn turn_sheared(canvas: &mut Canvas, degrees: f64, factor: f64, reading: Reading) {
    let (sine, cosine) = libm::sincos(-degrees.to_radians());
    let Shape { height, width, .. } = canvas.shape();
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    // Where a pixel comes from: back by the turn, then back by the shear.
    let rows = [[cosine - factor * sine, sine + factor * cosine], [-sine, cosine]];
    let about_centre = |[a, b]: [f64; 2], middle: f64| [a, b, middle - a * x - b * y];
    affine(canvas, [about_centre(rows[0], x), about_centre(rows[1], y)], reading);
}

fn translate(canvas: &mut Canvas, left: f64, up: f64, reading: Reading) {
    if reading.interpolation != Interpolation::Nearest {
        affine(canvas, [[1.0, 0.0, left], [0.0, 1.0, up]], reading);
        return;
    }
    let whole = |pixels: f64| (pixels + 0.5).floor() as isize;
    let (left, up) = (whole(left), whole(up));
    let Shape { height, width, .. } = canvas.shape();
    // The part of the new row that lies inside the old one, and where that part comes from.
    let start = left.saturating_neg().clamp(0, width as isize) as usize;
    let end = (width as isize).saturating_sub(left).clamp(0, width as isize) as usize;
    let from = left.clamp(0, width as isize) as usize;
    canvas.redraw_rows(|source, row, target| {
        let row = up.saturating_add(row as isize);
        if !(0..height as isize).contains(&row) {
            target.fill(reading.fill);
            return;
        }
        target[..start].fill(reading.fill);
        target[end..].fill(reading.fill);
        let source = &source[row as usize * width + from..];
        target[start..end].copy_from_slice(&source[..end - start]);
    });
}

/// Gives the pixel at (x, y) the old colour at the product of `matrix` and (x, y, 1), both places
/// being those of the middle of a pixel, measured from the upper left corner.
fn affine(canvas: &mut Canvas, matrix: [[f64; 3]; 2], reading: Reading) {
    if reading.interpolation == Interpolation::Nearest {
        return affine_nearest(canvas, matrix, reading);
    }
    let Shape { height, width, .. } = canvas.shape();
    canvas.redraw_rows(|pixels, row, target| {
        let between = Between { pixels, width, height };
        let down = row as f64 + 0.5;
        for (column, pixel) in target.iter_mut().enumerate() {
            let across = column as f64 + 0.5;
            let [x, y] = matrix.map(|[a, b, c]| a * across + b * down + c);
            let inside = (0.0..width as f64).contains(&x) && (0.0..height as f64).contains(&y);
            *pixel = match reading.interpolation {
                _ if !inside => reading.fill,
                Interpolation::Bicubic => between.bicubic(x, y),
                _ => between.bilinear(x, y),
            };
        }
    });
}

/// [`affine`] in fixed point with 16 binary places like Pillow's `Image.transform` with `AFFINE`
/// and `NEAREST`, so that ties fall as there.
fn affine_nearest(canvas: &mut Canvas, matrix: [[f64; 3]; 2], reading: Reading) {
    // Numbers so large that no pixel comes from inside are not to overflow.
    let fixed = |x: f64| (x * 65_536.0 + 0.5).floor().clamp(-1e12, 1e12) as i64;
    // Of either coordinate: the change from column to column, from row to row, and the beginning.
    let steps = matrix.map(|[across, down, offset]| {
        [fixed(across), fixed(down), fixed(offset + across * 0.5 + down * 0.5)]
    });
    let Shape { height, width, .. } = canvas.shape();
    canvas.redraw_rows(|source, row, target| {
        let [mut x, mut y] = steps.map(|[_, down, start]| start + row as i64 * down);
        for pixel in target {
            // A negative place is a huge number here.
            let (column, row) = ((x >> 16) as usize, (y >> 16) as usize);
            let inside = column < width && row < height;
            *pixel = if inside { source[row * width + column] } else { reading.fill };
            x += steps[0][0];
            y += steps[1][0];
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the recipe means, pixel by pixel.
    fn slow_crop(shape: Shape, top: isize, left: isize, flip: bool, source: &[u8]) -> Vec<u8> {
        let mut target = Vec::with_capacity(source.len());
        for row in 0..shape.height as isize {
            for column in 0..shape.width as isize {
                let column = if flip { shape.width as isize - 1 - column } else { column };
                let (y, x) = (row + top, column + left);
                let inside = (0..shape.height as isize).contains(&y)
                    && (0..shape.width as isize).contains(&x);
                for channel in 0..shape.channels {
                    let at = (y as usize).wrapping_mul(shape.width).wrapping_add(x as usize);
                    let value = || source[at * shape.channels + channel];
                    target.push(if inside { value() } else { 0 });
                }
            }
        }
        target
    }

    prop_compose! {
        fn image()(height in 1_usize..9, width in 1_usize..9, channels in 1_usize..5)
            (pixels in prop::collection::vec(1_u8.., height * width * channels),
             shape in Just(Shape { height, width, channels })) -> (Shape, Vec<u8>) {
            (shape, pixels)
        }
    }

    proptest! {
        #[test]
        fn crop_and_mirror_do_what_they_mean(
            (shape, source) in image(), top in -10_isize..=10, left in -10_isize..=10, flip: bool,
        ) {
            let mut target = vec![99; source.len()];
            crop(shape, top, left, flip, &source, &mut target);
            prop_assert_eq!(target, slow_crop(shape, top, left, flip, &source));
        }

        #[test]
        fn two_mirror_images_are_the_image((height, width) in (1_usize..9, 1_usize..9)) {
            let pixels: Vec<u8> = (0..height * width * 3).map(|i| (i * 7 % 256) as u8).collect();
            let mut canvas = Canvas::default();
            canvas.load(height, width, &pixels);
            mirror(&mut canvas);
            prop_assert_eq!(width == 1, canvas.pixels() == &pixels[..]);
            mirror(&mut canvas);
            prop_assert_eq!(canvas.pixels(), &pixels[..]);
        }

        #[test]
        fn four_quarter_turns_are_the_image(side in 1_usize..9) {
            let pixels: Vec<u8> = (0..side * side * 3).map(|i| i as u8).collect();
            let mut canvas = Canvas::default();
            canvas.load(side, side, &pixels);
            for turn in 0..4 {
                prop_assert_eq!(turn == 0 || side == 1, canvas.pixels() == &pixels[..]);
                rotate(&mut canvas, 90.0, Reading::nearest([9; 3]));
            }
            prop_assert_eq!(canvas.pixels(), &pixels[..]);
        }
    }

    proptest! {
        /// Without a shear it is [`rotate`], to a rounding; whatever it does, the middle stays where it is, and a shear
        /// by 1 moves the row above it by a pixel.
        #[test]
        fn turning_and_shearing_leave_the_middle_where_it_is(
            (degrees, factor) in (-30.0..30.0_f64, -0.4..0.4_f64), side in 2_usize..9,
        ) {
            let side = 2 * side + 1;
            let reading = Reading { interpolation: Interpolation::Bilinear, fill: [0; 3] };
            let pixels: Vec<u8> = (0..side * side * 3).map(|i| (i * i / 7 % 251) as u8).collect();
            let mut turned = [0, 1].map(|_| {
                let mut canvas = Canvas::default();
                canvas.load(side, side, &pixels);
                canvas
            });
            rotate(&mut turned[0], degrees, reading);
            turn_sheared(&mut turned[1], degrees, 0.0, reading);
            for (a, b) in turned[0].pixels().iter().zip(turned[1].pixels()) {
                prop_assert!(a.abs_diff(*b) <= 1);
            }
            let mut canvas = Canvas::default();
            canvas.load(side, side, &pixels);
            turn_sheared(&mut canvas, degrees, factor, reading);
            let middle = side * side / 2 * 3;
            prop_assert!(canvas.pixels()[middle].abs_diff(pixels[middle]) <= 1);
            // The row above the middle is moved by the factor, and no row changes its place.
            let mut canvas = Canvas::default();
            canvas.load(side, side, &pixels);
            turn_sheared(&mut canvas, 0.0, 1.0, reading);
            let (row, at) = (side / 2 - 1, side / 2);
            prop_assert_eq!(canvas.pixels()[(row * side + at) * 3], pixels[(row * side + at - 1) * 3]);
        }
    }

    #[test]
    fn an_image_that_is_moved_far_away_is_gone() {
        use Interpolation::{Bicubic, Bilinear, Nearest};
        for (far, interpolation) in [-1e300, -1e9, 1e9, 1e300]
            .into_iter()
            .flat_map(|far| [Nearest, Bilinear, Bicubic].map(|between| (far, between)))
        {
            let reading = Reading { interpolation, fill: [1, 2, 3] };
            let mut canvas = Canvas::default();
            canvas.load(2, 3, &[200; 18]);
            translate_x(&mut canvas, far, reading);
            assert_eq!(canvas.pixels(), [1, 2, 3].repeat(6), "{far}");
            canvas.load(2, 3, &[200; 18]);
            shear_y(&mut canvas, far, reading);
            assert_eq!(canvas.pixels(), [1, 2, 3].repeat(6), "{far}");
        }
    }
}
