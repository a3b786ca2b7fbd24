//! The recipes that have names.
//!
//! Long-tailed recognition has a family of them: `PaCo` (Cui et al., "Parametric contrastive
//! learning", ICCV 2021, `dvlab-research/Parametric-Contrastive-Learning`) wrote them down, GLMC (Du
//! et al., CVPR 2023, `ynu-yangpeng/GLMC`) and LCSL (`vdquang1991/lcsl`) took them over. The names are
//! those of LCSL's `--data_aug`.
//!
//! Mirroring comes last in the published [`photographs::SIM_AUG`]; it is done with the window
//! here, which gives the same pixels.

use super::{ColourJitter, Crop, RandAugment, Recipe, RgbPixel, Step};
use crate::crop::RandomResizedCrop;

/// Brightness, contrast and saturation by up to 40 %.
const JITTER: ColourJitter =
    ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.0 };
/// The standard deviations of a blur, in pixels.
const BLUR: (f64, f64) = (0.1, 2.0);

/// For images of one small size, such as CIFAR's.
pub mod small {
    use super::{BLUR, ColourJitter, Crop, JITTER, RandomResizedCrop, Recipe, Step};

    /// `crop_flip`, and the published `none`: four pixels of padding, crop, mirror.
    pub const CROP_FLIP: Recipe = Recipe { crop: Crop::PadFlip { pad: 4 }, steps: &[] };

    /// `autoaug`: [`CROP_FLIP`], the policy that `AutoAugment` found for CIFAR-10, and a black square
    /// of 16 pixels where an image has 32.
    pub const AUTOAUG: Recipe =
        Recipe { steps: &[Step::AutoAugmentCifar10 { fill: [128; 3] }, Step::Cutout], ..CROP_FLIP };

    /// `cutout`: [`CROP_FLIP`] and a black square half as high as the image.
    pub const CUTOUT: Recipe = Recipe { steps: &[Step::Cutout], ..CROP_FLIP };

    /// `affine`: turned by up to 15° and sheared by up to 0.2, then as [`CUTOUT`]. Ours: shapes change, and tones do
    /// not, so that grey images stay what they are.
    pub const AFFINE: Recipe = Recipe {
        steps: &[Step::TurnAndShear { degrees: 15.0, factor: 0.2 }, Step::Cutout],
        ..CROP_FLIP
    };

    /// `sim_aug`: the views of contrastive learning, for CIFAR in `PaCo`'s program alone
    /// (`augmentation_sim_cifar` of `paco_cifar.py`).
    pub const SIM_AUG: Recipe = Recipe {
        crop: Crop::ResizedFlip(RandomResizedCrop {
            scale: (0.2, 1.0),
            ..RandomResizedCrop::INCEPTION
        }),
        steps: &[
            Step::Jitter { probability: 0.8, jitter: ColourJitter { hue: 0.1, ..JITTER } },
            Step::Greyscale { probability: 0.2 },
            Step::Blur { probability: 0.5, deviation: BLUR },
        ],
    };

    /// The recipe that `--data_aug` calls so; `off` is the image as it is.
    pub fn named(name: &str) -> Option<Recipe> {
        match name {
            "crop_flip" | "none" => Some(CROP_FLIP),
            "autoaug" => Some(AUTOAUG),
            "cutout" => Some(CUTOUT),
            "affine" => Some(AFFINE),
            "sim_aug" => Some(SIM_AUG),
            "off" => Some(Recipe::AS_IS),
            _ => None,
        }
    }
}

/// For photographs of any size, of which a window is resized.
pub mod photographs {
    use super::{BLUR, Crop, IMAGENET_MEAN, JITTER, RandAugment, RandomResizedCrop, Recipe, Step};

    /// Colours change in every image.
    const ALWAYS: Step = Step::Jitter { probability: 1.0, jitter: JITTER };

    /// `crop_flip`: a window of 8 % to all of the area, mirror.
    pub const CROP_FLIP: Recipe =
        Recipe { crop: Crop::ResizedFlip(RandomResizedCrop::INCEPTION), steps: &[] };

    /// The published `none`: [`CROP_FLIP`] and colours.
    pub const NONE: Recipe = Recipe { steps: &[ALWAYS], ..CROP_FLIP };

    /// `sim_aug`: [`NONE`], shades of grey and blur.
    pub const SIM_AUG: Recipe = Recipe {
        steps: &[
            ALWAYS,
            Step::Greyscale { probability: 0.2 },
            Step::Blur { probability: 0.5, deviation: BLUR },
        ],
        ..CROP_FLIP
    };

    /// `randcls`: [`NONE`] and timm's `rand-n2-m10-mstd0.5`.
    pub const RANDCLS: Recipe = Recipe {
        steps: &[ALWAYS, Step::RandAugment { policy: RandAugment::N2_M10, fill: IMAGENET_MEAN }],
        ..CROP_FLIP
    };

    /// The recipe that `--data_aug` calls so; `off` is the square in the middle.
    pub fn named(name: &str) -> Option<Recipe> {
        match name {
            "crop_flip" => Some(CROP_FLIP),
            "none" => Some(NONE),
            "sim_aug" => Some(SIM_AUG),
            "randcls" => Some(RANDCLS),
            "off" => Some(Recipe::AS_IS),
            _ => None,
        }
    }
}

/// The mean colour of `ImageNet`, for iNaturalist too in all of these programs.
const IMAGENET_MEAN: RgbPixel = [124, 116, 104];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Canvas, geometry, retouch};
    use crate::images::Shape;
    use crate::random::{Purpose, Stream};

    /// The published recipe mirrors last, this one first.
    #[test]
    fn mirroring_first_or_last_gives_the_same_pixels() {
        let shape = Shape { height: 14, width: 17, channels: 3 };
        let image: Vec<u8> = (0..shape.bytes()).map(|i| (i * i / 5) as u8).collect();
        let canvas = &mut Canvas::default();
        let mirror = |canvas: &mut Canvas, image: &mut [u8]| {
            canvas.load_image(shape, image);
            geometry::mirror(canvas);
            canvas.store(3, image);
        };
        for steps in [photographs::SIM_AUG.steps, small::SIM_AUG.steps] {
            for c in 0..60 {
                let stream = || Stream::new(1, Purpose::Augment, 0, 0, c);
                let [mut first, mut last] = [image.clone(), image.clone()];
                mirror(canvas, &mut first);
                retouch(steps, shape, &mut first, canvas, &mut stream());
                retouch(steps, shape, &mut last, canvas, &mut stream());
                mirror(canvas, &mut last);
                assert_eq!(first, last);
            }
        }
    }

    #[test]
    fn the_fill_is_the_mean_of_imagenet() {
        let mean = [0.485_f64, 0.456, 0.406].map(|part| (255.0 * part).round() as u8);
        assert_eq!(IMAGENET_MEAN, mean);
    }
}
