//! One image, cropped and mirrored.
//!
//! The random choices of an image belong to its place in the order, (seed, epoch, position, view),
//! never to the image: an image that an epoch draws twice is augmented twice. Rows are copied
//! whole; no pixel is looked at on its own unless the image is mirrored.

use crate::images::Shape;
use crate::random::Stream;

/// What happens to a training image on its way into a batch. Validation and test images always go
/// through [`Recipe::None`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// The image as it is.
    None,
    /// `pad` black pixels are added on every side, a window of the image's own size is cut out at
    /// random, and half of the images are mirrored left to right (He et al., "Deep residual
    /// learning for image recognition", CVPR 2016, §4.2).
    PadCropFlip {
        /// Pixels added on every side.
        pad: usize,
    },
}

/// Writes `source`, an image of `shape`, into `target` as `recipe` says, with the random choices of
/// `stream`.
///
/// Every byte of `target` is written, whatever it held before.
///
/// # Panics
/// When either slice is not of the image's size.
pub fn augment(
    recipe: Recipe,
    shape: Shape,
    source: &[u8],
    target: &mut [u8],
    stream: &mut Stream,
) {
    assert_eq!((source.len(), target.len()), (shape.bytes(), shape.bytes()), "bytes of an image");
    match recipe {
        Recipe::None => target.copy_from_slice(source),
        Recipe::PadCropFlip { pad } => {
            let places = 2 * pad as u64 + 1;
            // The order of these draws is part of what a seed means.
            let top = stream.below(places) as isize - pad as isize;
            let left = stream.below(places) as isize - pad as isize;
            let mirrored = stream.next_u32() & 1 == 1;
            crop(shape, top, left, mirrored, source, target);
        }
    }
}

/// Copies the window whose upper left corner lies at row `top`, column `left` of `source`, and
/// mirrors it left to right where asked to; black where that is outside.
fn crop(shape: Shape, top: isize, left: isize, mirrored: bool, source: &[u8], target: &mut [u8]) {
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
    // With the size of a pixel known to the compiler a pixel moves at once, not byte by byte.
    match channels {
        1 => copy_pixels_mirrored::<1>(source, target),
        3 => copy_pixels_mirrored::<3>(source, target),
        _ => {
            let pixels = source.chunks_exact(channels).rev();
            for (target, source) in target.chunks_exact_mut(channels).zip(pixels) {
                target.copy_from_slice(source);
            }
        }
    }
}

fn copy_pixels_mirrored<const CHANNELS: usize>(source: &[u8], target: &mut [u8]) {
    let (source, _) = source.as_chunks::<CHANNELS>();
    let (target, _) = target.as_chunks_mut::<CHANNELS>();
    for (target, source) in target.iter_mut().zip(source.iter().rev()) {
        *target = *source;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
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
        fn the_recipe_none_copies((shape, source) in image(), c: u64) {
            let mut target = vec![99; source.len()];
            let mut stream = Stream::new(1, Purpose::Augment, 0, 0, c);
            augment(Recipe::None, shape, &source, &mut target, &mut stream);
            prop_assert_eq!(target, source);
        }
    }

    #[test]
    fn every_window_and_both_directions_come_up() {
        let shape = Shape { height: 3, width: 3, channels: 1 };
        let source: Vec<u8> = (1..10).collect();
        let recipe = Recipe::PadCropFlip { pad: 1 };
        let mut seen = std::collections::BTreeMap::new();
        for position in 0..18_000 {
            let mut target = vec![99; 9];
            let mut stream = Stream::new(1, Purpose::Augment, 0, position, 0);
            augment(recipe, shape, &source, &mut target, &mut stream);
            *seen.entry(target).or_insert(0_u32) += 1;
        }
        assert_eq!(seen.len(), 3 * 3 * 2);
        // The standard deviation of each count is about 31.
        assert!(seen.values().all(|count| count.abs_diff(1_000) < 170), "{seen:?}");
    }
}
