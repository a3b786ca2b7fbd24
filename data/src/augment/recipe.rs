//! What happens to a training image on its way into a batch.

use super::{Canvas, Step, geometry, step, zoom};
use crate::crop::RandomResizedCrop;
use crate::images::Shape;
use crate::random::Stream;

/// What happens to a training image on its way into a batch: a window is cut out, then `steps` are
/// done in order. Validation and test images always go through [`Recipe::AS_IS`].
///
/// The recipes that have names stand in [`recipes`](super::recipes).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// The window.
    pub crop: Crop,
    /// What is done to it.
    pub steps: &'static [Step],
}

/// Which window of an image is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crop {
    /// All of it.
    Whole,
    /// `pad` black pixels are added on every side, a window of the image's own size is cut out at
    /// random, and half of the images are mirrored left to right (He et al., "Deep residual
    /// learning for image recognition", CVPR 2016, §4.2).
    PadFlip {
        /// Pixels added on every side.
        pad: usize,
    },
    /// A random window is resized, and half of the images are mirrored left to right.
    ResizedFlip(RandomResizedCrop),
}

impl Recipe {
    /// The image as it is.
    pub const AS_IS: Self = Self { crop: Crop::Whole, steps: &[] };
}

/// Writes `source`, an image of `shape`, into `target` as `recipe` says, with the random choices of
/// `stream`.
///
/// Every byte of `target` is written, whatever it held before, and what `canvas` held does not
/// matter.
///
/// # Panics
/// When either slice is not of the image's size, or when the recipe does more than [`Crop::Whole`]
/// and [`Crop::PadFlip`] to an image that has neither one nor three channels.
pub fn augment(
    recipe: Recipe,
    shape: Shape,
    source: &[u8],
    target: &mut [u8],
    canvas: &mut Canvas,
    stream: &mut Stream,
) {
    assert_eq!((source.len(), target.len()), (shape.bytes(), shape.bytes()), "bytes of an image");
    // The order of these draws is part of what a seed means.
    match recipe.crop {
        Crop::Whole => target.copy_from_slice(source),
        Crop::PadFlip { pad } => {
            let places = 2 * pad as u64 + 1;
            let top = stream.below(places) as isize - pad as isize;
            let left = stream.below(places) as isize - pad as isize;
            let mirrored = stream.next_u32() & 1 == 1;
            geometry::crop(shape, top, left, mirrored, source, target);
        }
        Crop::ResizedFlip(crop) => {
            let window = crop.draw(shape.width as u32, shape.height as u32, stream);
            let mirrored = stream.next_u32() & 1 == 1;
            canvas.load_image(shape, source);
            zoom::zoom(canvas, window);
            if mirrored {
                geometry::mirror(canvas);
            }
            canvas.store(shape.channels, target);
        }
    }
    step::retouch(recipe.steps, shape, target, canvas, stream);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::recipes::small;
    use crate::random::Purpose;
    use proptest::prelude::*;

    prop_compose! {
        fn image()(height in 1_usize..9, width in 1_usize..9, channels in 1_usize..5)
            (pixels in prop::collection::vec(1_u8.., height * width * channels),
             shape in Just(Shape { height, width, channels })) -> (Shape, Vec<u8>) {
            (shape, pixels)
        }
    }

    fn stream(position: u64, c: u64) -> Stream {
        Stream::new(1, Purpose::Augment, 0, position, c)
    }

    proptest! {
        #[test]
        fn an_image_as_it_is_is_copied((shape, source) in image(), c: u64) {
            let mut target = vec![99; source.len()];
            let canvas = &mut Canvas::default();
            augment(Recipe::AS_IS, shape, &source, &mut target, canvas, &mut stream(0, c));
            prop_assert_eq!(target, source);
        }

        /// Whatever a worker did before with its canvas and its memory.
        #[test]
        fn an_image_depends_on_its_stream_alone((shape, source) in image(), c: u64) {
            prop_assume!(shape.channels == 1 || shape.channels == 3);
            let mut used = Canvas::default();
            used.load(2, 17, &[200; 2 * 17 * 3]);
            let mut recipes = vec![small::CROP_FLIP, small::AUTOAUG];
            recipes.extend(cfg!(feature = "pictures").then_some(small::SIM_AUG));
            for recipe in recipes {
                let [mut first, mut second] = [vec![0; source.len()], vec![255; source.len()]];
                let fresh = &mut Canvas::default();
                augment(recipe, shape, &source, &mut first, fresh, &mut stream(0, c));
                augment(recipe, shape, &source, &mut second, &mut used, &mut stream(0, c));
                prop_assert_eq!(&first, &second);
            }
        }
    }

    #[test]
    fn every_window_and_both_directions_come_up() {
        let shape = Shape { height: 3, width: 3, channels: 1 };
        let source: Vec<u8> = (1..10).collect();
        let recipe = Recipe { crop: Crop::PadFlip { pad: 1 }, steps: &[] };
        let mut seen = std::collections::BTreeMap::new();
        for position in 0..18_000 {
            let mut target = vec![99; 9];
            let canvas = &mut Canvas::default();
            augment(recipe, shape, &source, &mut target, canvas, &mut stream(position, 0));
            *seen.entry(target).or_insert(0_u32) += 1;
        }
        assert_eq!(seen.len(), 3 * 3 * 2);
        // The standard deviation of each count is about 31.
        assert!(seen.values().all(|count| count.abs_diff(1_000) < 170), "{seen:?}");
    }
}
