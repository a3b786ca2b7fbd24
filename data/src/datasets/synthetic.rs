//! A made-up dataset: nothing to fetch, learnable in a few hundred steps, the same bytes on every
//! machine.
//!
//! Each class has a pattern: a colour and a few slow waves. An image is its class's pattern, moved
//! by up to two pixels, with a contrast of its own, under noise as strong as the pattern. Patterns
//! look the same in the mirror, because training and evaluation mirror images.

use super::{Dataset, DatasetId, PixelNormalisation};
use crate::augment::recipes::small;
use crate::images::{ImageSet, Shape};
use crate::random::{Purpose, Stream};

/// How many images, and of what size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntheticOptions {
    /// Number of classes.
    pub classes: usize,
    /// Training images per class, before any long-tailed selection.
    pub train_per_class: usize,
    /// Test images per class.
    pub test_per_class: usize,
    /// Height and width of an image in pixels.
    pub image_size: usize,
    /// Another seed gives other patterns and other images.
    pub seed: u64,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        Self { classes: 10, train_per_class: 500, test_per_class: 100, image_size: 32, seed: 1 }
    }
}

/// The streams of the splits of the dataset differ in this coordinate.
const PATTERNS: u64 = 0;
const TRAIN: u64 = 1;
const TEST: u64 = 2;

pub(super) const CHANNELS: usize = 3;
pub(super) const NORMALISATION: PixelNormalisation =
    PixelNormalisation { mean: [0.5; 3], std: [0.25; 3] };
const WAVES: usize = 3;
/// An image shows its pattern moved by up to this many pixels in each direction.
const SHIFT_MAX: usize = 2;

/// Makes the dataset. Classes take turns: image `i` of a split has label `i % classes`.
///
/// # Panics
/// When there are to be no classes or no pixels: the configuration refuses that.
pub fn generate(options: &SyntheticOptions) -> Dataset {
    let SyntheticOptions { classes, image_size: size, .. } = *options;
    assert!(classes > 0 && size > 0, "a dataset has classes and pixels");
    let patterns: Vec<Pattern> =
        (0..classes).map(|class| Pattern::new(options.seed, class as u64, size)).collect();
    let split = |split, per_class| images(options, &patterns, split, per_class);
    let sets = [split(TRAIN, options.train_per_class), split(TEST, options.test_per_class)];
    Dataset::new(
        DatasetId::Synthetic,
        (0..classes).map(|class| format!("pattern {class}")).collect(),
        sets,
        NORMALISATION,
        small::CROP_FLIP,
    )
}

fn images(
    options: &SyntheticOptions,
    patterns: &[Pattern],
    split: u64,
    per_class: usize,
) -> ImageSet {
    let size = options.image_size;
    let shape = Shape { height: size, width: size, channels: CHANNELS };
    let labels: Vec<u32> = (0..per_class).flat_map(|_| 0..patterns.len() as u32).collect();
    let mut pixels = vec![0; labels.len() * shape.bytes()];
    for (index, image) in pixels.chunks_exact_mut(shape.bytes()).enumerate() {
        let (number, class) = ((index / patterns.len()) as u64, index % patterns.len());
        let mut stream = Stream::new(options.seed, Purpose::Synthetic, split, class as u64, number);
        patterns[class].draw(&mut stream, image);
    }
    ImageSet::new(shape, pixels, labels)
}

/// What the images of one class have in common: levels around 0 on a grid that is larger than an
/// image by the largest shift on every side. Whole numbers from here on: an image is exact
/// arithmetic on them.
#[derive(Debug)]
pub(crate) struct Pattern {
    size: usize,
    levels: Vec<i32>,
}

impl Pattern {
    /// The pattern of `class` for images of `size` by `size` pixels.
    pub(crate) fn new(seed: u64, class: u64, size: usize) -> Self {
        let mut stream = Stream::new(seed, Purpose::Synthetic, PATTERNS, class, 0);
        let grid = size + 2 * SHIFT_MAX;
        let mut levels = vec![0; grid * grid * CHANNELS];
        for channel in 0..CHANNELS {
            let colour = 20.0 * stream.normal();
            let waves: [Wave; WAVES] = std::array::from_fn(|_| Wave::new(&mut stream));
            for row in 0..grid {
                for column in 0..grid {
                    // From -1 to 1 over the grid, so that an even function of x is its own mirror
                    // image.
                    let place = |at| (2.0 * at as f64 + 1.0) / grid as f64 - 1.0;
                    let sum: f64 = waves.iter().map(|w| w.at(place(row), place(column))).sum();
                    let level = (colour + sum).round() as i32;
                    levels[(row * grid + column) * CHANNELS + channel] = level;
                }
            }
        }
        Self { size, levels }
    }

    /// Draws one image of this class.
    pub(crate) fn draw(&self, stream: &mut Stream, image: &mut [u8]) {
        let shift = |stream: &mut Stream| stream.below(2 * SHIFT_MAX as u64 + 1) as usize;
        let (top, left) = (shift(stream), shift(stream));
        // In 256ths: from 0.6 to 1.4.
        let contrast = 154 + stream.below(205) as i32;
        let row_levels = (self.size + 2 * SHIFT_MAX) * CHANNELS;
        let row_bytes = self.size * CHANNELS;
        for (row, target) in image.chunks_exact_mut(row_bytes).enumerate() {
            let levels = &self.levels[(top + row) * row_levels + left * CHANNELS..][..row_bytes];
            for (byte, level) in target.iter_mut().zip(levels) {
                let value = 128 + level * contrast / 256 + noise(stream);
                *byte = value.clamp(0, 255) as u8;
            }
        }
    }
}

/// The four bytes of one word added up are close to a normal draw of standard deviation 148; this
/// is a quarter of it.
fn noise(stream: &mut Stream) -> i32 {
    let sum: i32 = stream.next_u32().to_le_bytes().into_iter().map(i32::from).sum();
    (sum - 510) / 4
}

/// A product of two cosines, even in x.
struct Wave {
    amplitude: f64,
    frequency_y: f64,
    frequency_x: f64,
    phase_y: f64,
}

impl Wave {
    fn new(stream: &mut Stream) -> Self {
        Self {
            amplitude: 25.0 * stream.normal(),
            frequency_y: stream.below(3) as f64,
            frequency_x: stream.below(3) as f64,
            phase_y: std::f64::consts::TAU * stream.unit(),
        }
    }

    fn at(&self, y: f64, x: f64) -> f64 {
        let pi = std::f64::consts::PI;
        self.amplitude
            * libm::cos(pi * self.frequency_y * y + self.phase_y)
            * libm::cos(pi * self.frequency_x * x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_seed_gives_another_dataset_and_the_same_seed_the_same() {
        let options = SyntheticOptions {
            train_per_class: 4,
            test_per_class: 2,
            ..SyntheticOptions::default()
        };
        let (first, again) = (generate(&options), generate(&options));
        assert_eq!(first.digest, again.digest);
        assert_ne!(first.digest, generate(&SyntheticOptions { seed: 2, ..options }).digest);
        assert_ne!(first.train.image(0), first.test.image(0));
    }

    /// The bytes are promised to be the same on every machine; a change here makes earlier runs
    /// incomparable.
    #[test]
    fn the_default_dataset_never_changes() {
        let dataset = generate(&SyntheticOptions::default());
        let digest = blake3::Hash::from(dataset.digest).to_string();
        assert_eq!(digest, "954e5114349ce35c86befa9d2da949f58686a38e8bee89e786dfcf4a049a707c");
    }

    #[test]
    fn every_class_has_its_share() {
        let options = SyntheticOptions {
            classes: 3,
            train_per_class: 5,
            test_per_class: 2,
            image_size: 8,
            seed: 1,
        };
        let dataset = generate(&options);
        assert_eq!(dataset.test.labels(), [0, 1, 2, 0, 1, 2]);
        assert_eq!((dataset.train.len(), dataset.largest_class(), dataset.classes()), (15, 5, 3));
        assert_eq!(dataset.train.shape(), Shape { height: 8, width: 8, channels: 3 });
    }

    #[test]
    fn patterns_are_their_own_mirror_image() {
        let grid = 12 + 2 * SHIFT_MAX;
        for row in Pattern::new(1, 0, 12).levels.chunks_exact(grid * CHANNELS) {
            let pixels: Vec<&[i32]> = row.chunks_exact(CHANNELS).collect();
            let mirrored: Vec<&[i32]> = pixels.iter().rev().copied().collect();
            assert_eq!(pixels, mirrored);
        }
    }

    /// The mean of a class's training images is a template; the nearest one names most test images,
    /// although a single pixel says little.
    #[test]
    fn classes_can_be_told_apart() {
        let options = SyntheticOptions {
            train_per_class: 50,
            test_per_class: 20,
            ..SyntheticOptions::default()
        };
        let dataset = generate(&options);
        let bytes = dataset.train.shape().bytes();
        let mut templates = vec![vec![0.0; bytes]; options.classes];
        for index in 0..dataset.train.len() {
            let template = &mut templates[dataset.train.label(index) as usize];
            for (sum, &byte) in template.iter_mut().zip(dataset.train.image(index)) {
                *sum += f64::from(byte) / options.train_per_class as f64;
            }
        }
        let distance = |image: &[u8], template: &[f64]| -> f64 {
            image.iter().zip(template).map(|(&byte, mean)| (f64::from(byte) - mean).powi(2)).sum()
        };
        let right = (0..dataset.test.len()).filter(|&index| {
            let image = dataset.test.image(index);
            let distances = templates.iter().map(|template| distance(image, template));
            let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            nearest.is_some_and(|(class, _)| class == dataset.test.label(index) as usize)
        });
        let accuracy = right.count() as f64 / dataset.test.len() as f64;
        assert!(accuracy > 0.9, "accuracy {accuracy}");
    }
}
