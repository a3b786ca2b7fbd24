//! Images in memory, as a sampler draws them and a recipe augments them.
//!
//! The journey of one image: position → [`EpochOrder`] → place in the split → index in the dataset
//! → bytes → [`augment()`] → place in the batch. Every step is a function of (seed, epoch,
//! position, view) alone, so any part of any batch may be filled at any time, and always gets the same
//! bytes.

use std::ops::Range;
use std::sync::Arc;

use crate::augment::{Canvas, Recipe, augment};
use crate::images::{ImageSet, Shape};
use crate::prefetch::prefetch;
use crate::random::{Purpose, Stream};
use crate::sampler::{EpochOrder, Sampler, SamplerKind};

/// Images between the one that is copied and the one whose memory is asked for.
const AHEAD: usize = 2;

/// The images of a split, ready to be drawn. Cheap to clone and without state: threads may share one.
#[derive(Clone, Debug)]
pub struct SampledImages {
    images: Arc<ImageSet>,
    indices: Arc<[u32]>,
    recipe: Recipe,
    sampler: Sampler,
    seed: u64,
}

impl SampledImages {
    /// For training: the images of `indices` in a new random order each epoch, augmented by
    /// `recipe`.
    ///
    /// # Panics
    /// When an index names no image: a split and its dataset belong together.
    pub fn new(images: Arc<ImageSet>, indices: Arc<[u32]>, recipe: Recipe, seed: u64) -> Self {
        let outside = indices.iter().find(|&&index| index as usize >= images.len());
        assert_eq!(outside, None, "an index outside a set of {} images", images.len());
        let labels = indices.iter().map(|&index| images.label(index as usize));
        let sampler = Sampler::new(SamplerKind::Random, labels, seed);
        Self { images, indices, recipe, sampler, seed }
    }

    /// The same images, drawn by another sampler.
    ///
    /// # Panics
    /// When it is the sampler of another number of images.
    #[must_use]
    pub fn drawn_by(self, sampler: Sampler) -> Self {
        assert_eq!(sampler.order(0).len(), self.len(), "images of a sampler and of what it draws");
        Self { sampler, ..self }
    }

    /// For evaluation: the images of `indices` in this order and as they are, in every epoch
    /// alike.
    ///
    /// # Panics
    /// When an index names no image: a split and its dataset belong together.
    pub fn in_order(images: Arc<ImageSet>, indices: Arc<[u32]>) -> Self {
        let places = std::iter::repeat_n(0, indices.len());
        let sampler = Sampler::new(SamplerKind::Sequential, places, 0);
        Self::new(images, indices, Recipe::AS_IS, 0).drawn_by(sampler)
    }

    /// Positions of an epoch: as many as the split has images.
    pub fn len(&self) -> u64 {
        self.indices.len() as u64
    }

    /// True when the split holds no image.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The size of every image that is handed out.
    pub fn shape(&self) -> Shape {
        self.images.shape()
    }

    /// The order of epoch `epoch`. It maps positions to places in the split; [`SampledImages::index`]
    /// goes on to the dataset.
    pub fn order(&self, epoch: u64) -> EpochOrder {
        self.sampler.order(epoch)
    }

    /// The index in the dataset of the image at `position` of epoch `epoch`.
    ///
    /// # Panics
    /// When `position` is not below [`SampledImages::len`].
    pub fn index(&self, epoch: u64, position: u64) -> u32 {
        self.indices[self.order(epoch).at(position) as usize]
    }

    /// Fills `pixels` with the images at `positions` of epoch `epoch` (NHWC, 8 bits, not
    /// normalised) and `labels` with their labels.
    ///
    /// Both vectors are cut or grown to size and keep their memory from batch to batch. `view`
    /// numbers the augmented versions of one drawn image, from 0. An empty range gives an empty
    /// part.
    ///
    /// # Panics
    /// When `positions` reach beyond [`SampledImages::len`].
    pub fn fill(
        &self,
        epoch: u64,
        positions: Range<u64>,
        view: u64,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<i64>,
    ) {
        let shape = self.shape();
        let count = positions.end.saturating_sub(positions.start) as usize;
        pixels.resize(count * shape.bytes(), 0);
        labels.clear();
        let order = self.order(epoch);
        let mut canvas = Canvas::default();
        let index = |position| self.indices[order.at(position) as usize] as usize;
        let drawn: Vec<usize> = positions.clone().map(index).collect();
        let targets = pixels.chunks_exact_mut(shape.bytes());
        for (place, (position, target)) in positions.zip(targets).enumerate() {
            if let Some(&soon) = drawn.get(place + AHEAD) {
                prefetch(self.images.image(soon));
            }
            let index = drawn[place];
            let mut stream = Stream::new(self.seed, Purpose::Augment, epoch, position, view);
            let image = self.images.image(index);
            augment(self.recipe, shape, image, target, &mut canvas, &mut stream);
            labels.push(i64::from(self.images.label(index)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::recipes::{photographs, small};
    use crate::share;
    use proptest::prelude::*;

    const SHAPE: Shape = Shape { height: 3, width: 4, channels: 3 };

    /// Image i is filled with the byte i + 1 and has label 1000 + i.
    fn images(n: u8) -> Arc<ImageSet> {
        let pixels = (1..=n).flat_map(|value| vec![value; SHAPE.bytes()]).collect();
        let labels = (0..u32::from(n)).map(|index| 1_000 + index).collect();
        Arc::new(ImageSet::new(SHAPE, pixels, labels))
    }

    fn filled(batches: &SampledImages, epoch: u64, positions: Range<u64>) -> (Vec<u8>, Vec<i64>) {
        let (mut pixels, mut labels) = (vec![99; 1_000], vec![99; 1_000]);
        batches.fill(epoch, positions, 0, &mut pixels, &mut labels);
        (pixels, labels)
    }

    const RECIPES: [Recipe; 5] = [
        small::CROP_FLIP,
        small::AUTOAUG,
        // What resizes needs the resizer.
        if cfg!(feature = "pictures") { small::SIM_AUG } else { small::CROP_FLIP },
        if cfg!(feature = "pictures") { photographs::RANDCLS } else { small::AUTOAUG },
        Recipe::AS_IS,
    ];

    proptest! {
        /// Any part of a batch has the same bytes however the batch is cut: this is why neither the number of
        /// processes nor the step at which a run goes on can change an image.
        #[test]
        fn parts_put_together_are_the_whole_batch(
            parts in 1_u64..20, epoch: u64, seed: u64, recipe in 0..RECIPES.len(),
        ) {
            let indices: Arc<[u32]> = (0..50).rev().collect();
            let batches = SampledImages::new(images(50), indices, RECIPES[recipe], seed);
            let whole = filled(&batches, epoch, 10..40);
            let mut joined = (Vec::new(), Vec::new());
            for part in 0..parts {
                let share = share::range(30, parts, part);
                let part = filled(&batches, epoch, 10 + share.start..10 + share.end);
                joined.0.extend(part.0);
                joined.1.extend(part.1);
            }
            prop_assert_eq!(joined, whole);
        }
    }

    #[test]
    fn an_epoch_holds_every_image_of_the_split_once_with_its_own_label() {
        let indices: Arc<[u32]> = [3, 5, 8, 9, 30].into();
        let batches = SampledImages::new(images(40), indices, Recipe::AS_IS, 1);
        let (pixels, labels) = filled(&batches, 2, 0..5);
        for (position, (image, label)) in
            pixels.chunks_exact(SHAPE.bytes()).zip(&labels).enumerate()
        {
            let index = batches.index(2, position as u64);
            assert_eq!(*label, 1_000 + i64::from(index));
            assert!(image.iter().all(|&byte| u32::from(byte) == index + 1));
        }
        let mut labels = labels;
        labels.sort_unstable();
        assert_eq!(labels, [1_003, 1_005, 1_008, 1_009, 1_030]);
    }

    #[test]
    fn a_resampled_epoch_is_as_long_and_favours_the_rare_class() {
        let labels = (0..30).map(|index| u32::from(index >= 27));
        let set = ImageSet::new(SHAPE, vec![0; 30 * SHAPE.bytes()], labels.clone().collect());
        let batches = SampledImages::new(Arc::new(set), (0..30).collect(), Recipe::AS_IS, 1)
            .drawn_by(Sampler::new(SamplerKind::ClassBalanced, labels, 1));
        assert_eq!(batches.len(), 30);
        assert_eq!(filled(&batches, 0, 0..30).1.iter().sum::<i64>(), 15);
    }

    #[test]
    fn evaluation_goes_in_order_and_changes_nothing() {
        let batches = SampledImages::in_order(images(9), [7, 2, 4].into());
        assert_eq!(filled(&batches, 0, 0..3), filled(&batches, 5, 0..3));
        assert_eq!(filled(&batches, 0, 0..3).1, [1_007, 1_002, 1_004]);
    }

    /// One photograph-like image of 32 × 32 pixels, drawn 12 times.
    fn drawn(recipe: Recipe, channels: usize) -> SampledImages {
        let shape = Shape { height: 32, width: 32, channels };
        let pixels = (0..shape.bytes()).map(|i| (i * i / 29 % 251) as u8).collect();
        let set = Arc::new(ImageSet::new(shape, pixels, vec![0]));
        SampledImages::new(set, [0; 12].into(), recipe, 1)
    }

    #[test]
    fn epochs_and_views_are_augmented_on_their_own() {
        for (recipe, channels) in RECIPES[..4].iter().flat_map(|&recipe| [(recipe, 1), (recipe, 3)])
        {
            let batches = drawn(recipe, channels);
            let images = |epoch, view| {
                let (mut pixels, mut labels) = (Vec::new(), Vec::new());
                batches.fill(epoch, 0..12, view, &mut pixels, &mut labels);
                pixels
            };
            assert_ne!(images(0, 0), images(1, 0), "{recipe:?}");
            assert_ne!(images(0, 0), images(0, 1), "{recipe:?}");
            assert_eq!(images(0, 1), images(0, 1), "{recipe:?}");
            // One image at 12 positions: hardly two of them are alike.
            let pixels = images(0, 0);
            let different: std::collections::BTreeSet<&[u8]> =
                pixels.chunks_exact(batches.shape().bytes()).collect();
            assert!(different.len() >= 9, "{} images of {recipe:?}", different.len());
        }
    }

    /// Any change here changes what every seed means. The first was also computed by another
    /// implementation, in Python. Resized windows are left out: their last level is the processor's
    /// affair.
    #[test]
    fn the_bytes_of_a_seed_never_change() {
        let digest = |recipe| {
            let (pixels, _) = filled(&drawn(recipe, 3), 3, 0..12);
            blake3::hash(&pixels).to_hex()[..16].to_owned()
        };
        let policy = Recipe { steps: photographs::RANDCLS.steps, ..small::CROP_FLIP };
        let digests = [small::CROP_FLIP, small::AUTOAUG, policy].map(digest);
        assert_eq!(digests, ["5853299ff76a86be", "58c1cbbf085913bb", "f92089e48bb960f6"]);
    }

    #[test]
    fn an_empty_part_is_empty() {
        let batches = SampledImages::in_order(images(9), [7, 2, 4].into());
        assert_eq!(filled(&batches, 0, 2..2), (vec![], vec![]));
    }
}
