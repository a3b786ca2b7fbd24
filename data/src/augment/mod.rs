//! One image, changed at random on its way into a batch.
//!
//! The random choices of an image belong to its place in the order, (seed, epoch, position, view),
//! never to the image: an image that an epoch draws twice is augmented twice.
//!
//! [`Recipe`] with [`augment()`] is what a training run applies; it works on images of any number
//! of channels. The rest works on RGB images that lie in a [`Canvas`], one module per family:
//! [`geometry`] moves pixels, [`colour`] and [`tone`] change each on its own, [`blur`] mixes
//! neighbours, [`cutout`](mod@cutout) leaves a square out. Policies draw such
//! [`Operation`]s: [`autoaugment_cifar10`], [`RandAugment`] and [`ColourJitter`].
//!
//! Every operation on pixels gives what Pillow gives, since published results were obtained with
//! it.

mod autoaugment;
pub mod blur;
mod canvas;
pub mod colour;
pub mod cutout;
pub mod geometry;
mod interpolation;
mod jitter;
mod operation;
mod randaugment;
pub mod tone;

pub use autoaugment::autoaugment_cifar10;
pub use canvas::{Canvas, Rgb};
pub use interpolation::{Interpolation, Reading};
pub use jitter::ColourJitter;
pub use operation::Operation;
pub use randaugment::RandAugment;

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
            geometry::crop(shape, top, left, mirrored, source, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
    use proptest::prelude::*;

    prop_compose! {
        fn image()(height in 1_usize..9, width in 1_usize..9, channels in 1_usize..5)
            (pixels in prop::collection::vec(1_u8.., height * width * channels),
             shape in Just(Shape { height, width, channels })) -> (Shape, Vec<u8>) {
            (shape, pixels)
        }
    }

    proptest! {
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
