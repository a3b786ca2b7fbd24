//! What a recipe is made of.

use super::{
    Canvas, ColourJitter, Interpolation, RandAugment, Reading, RgbPixel, autoaugment_cifar10, blur,
    colour, cutout::cutout, geometry,
};
use crate::images::Shape;
use crate::random::Stream;

/// One thing that a recipe does to an image, with random choices of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// torchvision's `RandomApply([ColorJitter(…)], probability)`.
    Jitter {
        /// How likely it happens.
        probability: f64,
        /// What happens.
        jitter: ColourJitter,
    },
    /// torchvision's `RandomGrayscale`: three channels of the same grey.
    Greyscale {
        /// How likely it happens.
        probability: f64,
    },
    /// Gaussian blur (Chen et al., "A simple framework for contrastive learning of visual
    /// representations", ICML 2020).
    Blur {
        /// How likely it happens.
        probability: f64,
        /// The least and the greatest standard deviation, in pixels; all between are as likely.
        deviation: (f64, f64),
    },
    /// [`autoaugment_cifar10`].
    AutoAugmentCifar10 {
        /// What comes from outside the image.
        fill: RgbPixel,
    },
    /// [`geometry::turn_sheared`], read by bilinear interpolation, with black outside; all angles and factors between
    /// the two bounds are as likely.
    TurnAndShear {
        /// The largest angle, in degrees, either way.
        degrees: f64,
        /// The largest factor, either way.
        factor: f64,
    },
    /// [`cutout`](mod@super::cutout) of a black square half as high as the image.
    Cutout,
    /// [`RandAugment`].
    RandAugment {
        /// What happens.
        policy: RandAugment,
        /// What comes from outside the image.
        fill: RgbPixel,
    },
}

impl Step {
    /// Does it to the image in `canvas`.
    pub fn apply(&self, canvas: &mut Canvas, stream: &mut Stream) {
        // The order of these draws is part of what a seed means.
        match *self {
            Self::Jitter { probability, jitter } => {
                if stream.unit() < probability {
                    jitter.apply(canvas, stream);
                }
            }
            Self::Greyscale { probability } => {
                if stream.unit() < probability {
                    colour::greyscale(canvas);
                }
            }
            Self::Blur { probability, deviation: (least, most) } => {
                if stream.unit() < probability {
                    blur::gaussian(canvas, least + (most - least) * stream.unit());
                }
            }
            Self::AutoAugmentCifar10 { fill } => autoaugment_cifar10(canvas, fill, stream),
            Self::TurnAndShear { degrees, factor } => {
                let either_way = |unit: f64| 2.0 * unit - 1.0;
                let degrees = degrees * either_way(stream.unit());
                let factor = factor * either_way(stream.unit());
                let reading = Reading { interpolation: Interpolation::Bilinear, fill: [0; 3] };
                geometry::turn_sheared(canvas, degrees, factor, reading);
            }
            Self::Cutout => cutout(canvas, canvas.shape().height / 2, [0; 3], stream),
            Self::RandAugment { policy, fill } => policy.apply(canvas, fill, stream),
        }
    }
}

/// Does `steps`, one after the other, to `image`, which has one or three channels. A grey image is
/// treated as three equal channels, of which one is kept: what shifts colours leaves it as it is, as
/// in torchvision.
///
/// # Panics
/// When `image` is not of that shape, or has another number of channels.
pub fn retouch(
    steps: &[Step],
    shape: Shape,
    image: &mut [u8],
    canvas: &mut Canvas,
    stream: &mut Stream,
) {
    if steps.is_empty() {
        return;
    }
    canvas.load_image(shape, image);
    for step in steps {
        step.apply(canvas, stream);
    }
    canvas.store(shape.channels, image);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    const SHAPE: Shape = Shape { height: 6, width: 8, channels: 3 };
    const GREY: Shape = Shape { channels: 1, ..SHAPE };

    fn stream(c: u64) -> Stream {
        Stream::new(1, Purpose::Augment, 0, 0, c)
    }

    fn done(step: Step, shape: Shape, c: u64) -> Vec<u8> {
        let mut image: Vec<u8> = (0..shape.bytes()).map(|i| (i * i * 5) as u8).collect();
        retouch(&[step], shape, &mut image, &mut Canvas::default(), &mut stream(c));
        image
    }

    const HUE: ColourJitter =
        ColourJitter { brightness: 0.0, contrast: 0.0, saturation: 0.9, hue: 0.4 };

    #[test]
    fn steps_happen_as_often_as_they_should() {
        let as_it_is = done(Step::Greyscale { probability: 0.0 }, SHAPE, 0);
        for (step, expected) in [
            (Step::Greyscale { probability: 0.2 }, 400),
            (Step::Jitter { probability: 0.8, jitter: HUE }, 1_600),
            (Step::Jitter { probability: 1.0, jitter: HUE }, 2_000),
            (Step::Blur { probability: 0.5, deviation: (0.5, 2.0) }, 1_000),
            (Step::Cutout, 2_000),
            (Step::TurnAndShear { degrees: 15.0, factor: 0.2 }, 2_000),
        ] {
            let changed = (0..2_000).filter(|&c| done(step, SHAPE, c) != as_it_is).count();
            // Standard deviations are 22 and less, and 0 where it always happens.
            let allowed = if expected == 2_000 { 0 } else { 110 };
            assert!(changed.abs_diff(expected) <= allowed, "{step:?}: {changed}");
        }
    }

    #[test]
    fn a_grey_image_has_no_colours_to_shift_and_stays_grey() {
        let as_it_is = done(Step::Greyscale { probability: 0.0 }, GREY, 0);
        for step in
            [Step::Greyscale { probability: 1.0 }, Step::Jitter { probability: 1.0, jitter: HUE }]
        {
            assert_eq!(done(step, GREY, 3), as_it_is, "{step:?}");
        }
        for step in [
            Step::AutoAugmentCifar10 { fill: [128; 3] },
            Step::RandAugment { policy: RandAugment::default(), fill: [7; 3] },
            Step::Blur { probability: 1.0, deviation: (1.0, 1.0) },
        ] {
            let mut changed = 0;
            for c in 0..200 {
                let grey = done(step, GREY, c);
                let tripled: Vec<u8> = as_it_is.iter().flat_map(|&level| [level; 3]).collect();
                let mut canvas = Canvas::default();
                canvas.load(SHAPE.height, SHAPE.width, &tripled);
                step.apply(&mut canvas, &mut stream(c));
                let expected: Vec<u8> = grey.iter().flat_map(|&level| [level; 3]).collect();
                assert_eq!(canvas.pixels(), expected, "{step:?}, {c}");
                changed += u32::from(grey != as_it_is);
            }
            assert!(changed > 100, "{step:?}: {changed}");
        }
    }
}
