//! The policy that `AutoAugment` found for CIFAR-10.

use super::operation::Operation;
use super::operation::OperationKind::{
    self, AutoContrast, Brightness, Colour, Contrast, Equalize, Invert, Posterize, Rotate,
    Sharpness, ShearX, ShearY, Solarize, SolarizeAdd, TranslateX, TranslateY,
};
use super::{Canvas, Interpolation, Reading, RgbPixel};
use crate::images::Shape;
use crate::random::Stream;

/// The two operations of each sub-policy: what, with which probability, and how much in steps of
/// 0..10, 0 where there is no such thing (Cubuk et al., "`AutoAugment`: learning augmentation
/// strategies from data", CVPR 2019, appendix).
const CIFAR10: [[(OperationKind, f64, u8); 2]; 25] = [
    [(Invert, 0.1, 0), (Contrast, 0.2, 6)],
    [(Rotate, 0.7, 2), (TranslateX, 0.3, 9)],
    [(Sharpness, 0.8, 1), (Sharpness, 0.9, 3)],
    [(ShearY, 0.5, 8), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.5, 0), (Equalize, 0.9, 0)],
    [(ShearY, 0.2, 7), (Posterize, 0.3, 7)],
    [(Colour, 0.4, 3), (Brightness, 0.6, 7)],
    [(Sharpness, 0.3, 9), (Brightness, 0.7, 9)],
    [(Equalize, 0.6, 0), (Equalize, 0.5, 0)],
    [(Contrast, 0.6, 7), (Sharpness, 0.6, 5)],
    [(Colour, 0.7, 7), (TranslateX, 0.5, 8)],
    [(Equalize, 0.3, 0), (AutoContrast, 0.4, 0)],
    [(TranslateY, 0.4, 3), (Sharpness, 0.2, 6)],
    [(Brightness, 0.9, 6), (Colour, 0.2, 8)],
    [(Solarize, 0.5, 2), (Invert, 0.0, 0)],
    [(Equalize, 0.2, 0), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.2, 0), (Equalize, 0.6, 0)],
    [(Colour, 0.9, 9), (Equalize, 0.6, 0)],
    [(AutoContrast, 0.8, 0), (Solarize, 0.2, 8)],
    [(Brightness, 0.1, 3), (Colour, 0.7, 0)],
    [(Solarize, 0.4, 5), (AutoContrast, 0.9, 0)],
    [(TranslateY, 0.9, 9), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.9, 0), (Solarize, 0.8, 3)],
    [(Equalize, 0.8, 0), (Invert, 0.1, 0)],
    [(TranslateY, 0.7, 9), (AutoContrast, 0.9, 0)],
];

/// Does to the image in `canvas` what one of the 25 sub-policies for CIFAR-10 asks for; what comes
/// from outside the image is `fill`.
///
/// Sizes are those of torchvision's `AutoAugment`: a translation by step 9 moves by 150/331 of the
/// image. Where an operation has two directions, both are as likely.
///
/// Shears are bicubic and everything else takes the nearest pixel, as in the program that the
/// published recipes of long-tailed recognition use. That program differs in three things: it turns
/// anticlockwise only, it may round a translation to the next pixel, and its thresholds for
/// solarization are up to one level higher.
pub fn autoaugment_cifar10(canvas: &mut Canvas, fill: RgbPixel, stream: &mut Stream) {
    for operation in draw(canvas.shape(), stream).into_iter().flatten() {
        operation.apply(canvas, reading(operation, fill));
    }
}

/// How the image is read by an operation.
fn reading(operation: Operation, fill: RgbPixel) -> Reading {
    let interpolation = match operation {
        Operation::ShearX(_) | Operation::ShearY(_) => Interpolation::Bicubic,
        _ => Interpolation::Nearest,
    };
    Reading { interpolation, fill }
}

/// The operations for the next image, `None` for one that is left out.
fn draw(shape: Shape, stream: &mut Stream) -> [Option<Operation>; 2] {
    // The order of these draws is part of what a seed means.
    let chosen = CIFAR10[stream.below(CIFAR10.len() as u64) as usize];
    chosen.map(|(kind, probability, step)| {
        let applied = stream.unit() < probability;
        let negative = stream.next_u32() & 1 == 1;
        applied.then(|| sized(kind, step, negative, shape))
    })
}

/// The operation of a step of 0..10, in the negative direction where it has one and that is asked
/// for.
fn sized(kind: OperationKind, step: u8, negative: bool, shape: Shape) -> Operation {
    let part = f64::from(step) / 9.0;
    let signed = |most: f64| if negative { -most * part } else { most * part };
    let whole_pixels = |side: usize| (signed(150.0 / 331.0) * side as f64).trunc();
    match kind {
        ShearX => Operation::ShearX(signed(0.3)),
        ShearY => Operation::ShearY(signed(0.3)),
        TranslateX => Operation::TranslateX(whole_pixels(shape.width)),
        TranslateY => Operation::TranslateY(whole_pixels(shape.height)),
        Rotate => Operation::Rotate(signed(30.0)),
        Brightness => Operation::Brightness(1.0 + signed(0.9)),
        Contrast => Operation::Contrast(1.0 + signed(0.9)),
        Colour => Operation::Colour(1.0 + signed(0.9)),
        Sharpness => Operation::Sharpness(1.0 + signed(0.9)),
        Posterize => Operation::Posterize(8 - (4.0 * part).round() as u8),
        Solarize => Operation::Solarize((255 * (9 - u16::from(step))).div_ceil(9)),
        // Not in the article, and in none of the sub-policies.
        SolarizeAdd => Operation::SolarizeAdd((110.0 * part) as u8),
        AutoContrast => Operation::AutoContrast,
        Equalize => Operation::Equalize,
        Invert => Operation::Invert,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::operation::{named, number};
    use crate::random::Purpose;

    const SHAPE: Shape = Shape { height: 32, width: 40, channels: 3 };

    #[test]
    fn sub_policies_are_those_of_torchvision() {
        let golden = include_str!("../../tests/golden/augment/policies.json");
        let golden: serde_json::Value = serde_json::from_str(golden).expect("a JSON file");
        let golden: Vec<[(String, f64, f64); 2]> =
            serde_json::from_value(golden["autoaugment"].clone()).expect("pairs of operations");
        assert_eq!(golden.len(), CIFAR10.len());
        for (ours, theirs) in CIFAR10.iter().zip(&golden) {
            for ((kind, probability, step), (name, their_probability, amount)) in
                ours.iter().zip(theirs)
            {
                assert_eq!(*kind, named(name), "{theirs:?}");
                assert!((probability - their_probability).abs() < 1e-9, "{theirs:?}");
                let operation = sized(*kind, *step, false, SHAPE);
                // A level is above 198.3 where it is at least 199.
                let amount = if *kind == Solarize { amount.ceil() } else { *amount };
                assert!((number(operation) - amount).abs() < 1e-6, "{operation:?}: {amount}");
            }
        }
    }

    #[test]
    fn the_negative_direction_is_the_opposite() {
        for kind in [ShearX, ShearY, TranslateX, TranslateY, Rotate] {
            let [there, back] = [false, true].map(|back| number(sized(kind, 7, back, SHAPE)));
            assert!(there > 0.1 && (there + back).abs() < 1e-12, "{kind:?}: {there}, {back}");
        }
        for kind in [Brightness, Contrast, Colour, Sharpness] {
            let [more, less] = [false, true].map(|less| number(sized(kind, 9, less, SHAPE)));
            assert!((more - 1.9).abs() < 1e-12 && (less - 0.1).abs() < 1e-12, "{kind:?}");
        }
    }

    #[test]
    fn probabilities_are_kept() {
        let (mut turned, mut anticlockwise, mut equalized) = (0_u32, 0_u32, 0_u32);
        for c in 0..50_000 {
            let mut stream = Stream::new(1, Purpose::Augment, 0, 0, c);
            for operation in draw(SHAPE, &mut stream).into_iter().flatten() {
                match operation {
                    Operation::Rotate(degrees) => {
                        turned += 1;
                        anticlockwise += u32::from(degrees > 0.0);
                    }
                    Operation::Equalize => equalized += 1,
                    _ => {}
                }
            }
        }
        // Rotation is in one sub-policy of 25 with probability 0.7: 1400, standard deviation 37.
        assert!(turned.abs_diff(1_400) < 190, "{turned}");
        assert!(anticlockwise.abs_diff(turned / 2) < 100, "{anticlockwise} of {turned}");
        // Equalisation: 0.9 + 0.6 + 0.5 + 0.3 + 0.2 + 0.2 + 0.6 + 0.6 + 0.8 = 4.7 times in 25.
        assert!(equalized.abs_diff(9_400) < 500, "{equalized}");
    }

    #[test]
    fn the_image_is_what_the_drawn_operations_make_of_it() {
        let pixels: Vec<u8> = (0..SHAPE.bytes()).map(|i| (i * i / 7) as u8).collect();
        let mut changed = 0;
        for c in 0..100 {
            let stream = || Stream::new(1, Purpose::Augment, 0, 0, c);
            let [mut once, mut twice] = [Canvas::default(), Canvas::default()];
            once.load(SHAPE.height, SHAPE.width, &pixels);
            twice.load(SHAPE.height, SHAPE.width, &pixels);
            autoaugment_cifar10(&mut once, [1, 2, 3], &mut stream());
            for operation in draw(SHAPE, &mut stream()).into_iter().flatten() {
                operation.apply(&mut twice, reading(operation, [1, 2, 3]));
            }
            assert_eq!(once.pixels(), twice.pixels());
            changed += u32::from(once.pixels() != pixels);
        }
        assert!((60..100).contains(&changed), "{changed} of 100 images changed");
    }
}
