//! A few operations of all, chosen at random.

use super::operation::{Operation, OperationKind};
use super::{Canvas, Interpolation, Reading, RgbPixel};
use crate::images::Shape;
use crate::random::Stream;

/// What is chosen from. The order is part of what a seed means.
const KINDS: [OperationKind; 15] = [
    OperationKind::AutoContrast,
    OperationKind::Equalize,
    OperationKind::Invert,
    OperationKind::Rotate,
    OperationKind::Posterize,
    OperationKind::Solarize,
    OperationKind::SolarizeAdd,
    OperationKind::Colour,
    OperationKind::Contrast,
    OperationKind::Brightness,
    OperationKind::Sharpness,
    OperationKind::ShearX,
    OperationKind::ShearY,
    OperationKind::TranslateX,
    OperationKind::TranslateY,
];

/// The largest magnitude.
const FULL: f64 = 10.0;

/// `RandAugment` (Cubuk et al., "Randaugment: practical automated data augmentation with a reduced
/// search space", `NeurIPS` 2020) as timm has it.
///
/// Where pixels move, the image is read by bilinear or
/// bicubic interpolation, each as often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandAugment {
    /// How many operations are chosen, each from all; every chosen one is left out with probability
    /// 1/2.
    pub layers: usize,
    /// How much an operation does, of 0 to 10. As in timm more is not always more: the largest
    /// magnitude gives posterization and solarization the least effect, and 5 leaves brightness,
    /// contrast, colour and sharpness as they are.
    pub magnitude: f64,
    /// Standard deviation of the magnitude, which is drawn anew for every operation and cut off at
    /// 0 and 10.
    pub deviation: f64,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self::N2_M10
    }
}

impl RandAugment {
    /// timm's `rand-n2-m10-mstd0.5`.
    pub const N2_M10: Self = Self { layers: 2, magnitude: 10.0, deviation: 0.5 };

    /// Does the chosen operations to the image in `canvas`; what comes from outside the image is
    /// `fill`.
    pub fn apply(&self, canvas: &mut Canvas, fill: RgbPixel, stream: &mut Stream) {
        for _ in 0..self.layers {
            if let Some((operation, interpolation)) = self.draw(canvas.shape(), stream) {
                operation.apply(canvas, Reading { interpolation, fill });
            }
        }
    }

    /// The next operation, `None` for one that is left out.
    fn draw(&self, shape: Shape, stream: &mut Stream) -> Option<(Operation, Interpolation)> {
        // The order of these draws is part of what a seed means.
        let kind = KINDS[stream.below(KINDS.len() as u64) as usize];
        let applied = stream.next_u32() & 1 == 1;
        let magnitude = self.magnitude + self.deviation * stream.normal();
        let negative = stream.next_u32() & 1 == 1;
        let cubic = stream.next_u32() & 1 == 1;
        let part = magnitude.clamp(0.0, FULL) / FULL;
        let interpolation = if cubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
        applied.then(|| (sized(kind, part, negative, shape), interpolation))
    }
}

/// The operation of a `part` of 0 to 1, in the negative direction where it has one and that is
/// asked for.
fn sized(kind: OperationKind, part: f64, negative: bool, shape: Shape) -> Operation {
    let signed = |most: f64| if negative { -most * part } else { most * part };
    let factor = 0.1 + 1.8 * part;
    match kind {
        OperationKind::AutoContrast => Operation::AutoContrast,
        OperationKind::Equalize => Operation::Equalize,
        OperationKind::Invert => Operation::Invert,
        OperationKind::Rotate => Operation::Rotate(signed(30.0)),
        OperationKind::Posterize => Operation::Posterize((4.0 * part) as u8),
        OperationKind::Solarize => Operation::Solarize((256.0 * part) as u16),
        OperationKind::SolarizeAdd => Operation::SolarizeAdd((110.0 * part) as u8),
        OperationKind::Colour => Operation::Colour(factor),
        OperationKind::Contrast => Operation::Contrast(factor),
        OperationKind::Brightness => Operation::Brightness(factor),
        OperationKind::Sharpness => Operation::Sharpness(factor),
        OperationKind::ShearX => Operation::ShearX(signed(0.3)),
        OperationKind::ShearY => Operation::ShearY(signed(0.3)),
        OperationKind::TranslateX => Operation::TranslateX(signed(0.45) * shape.width as f64),
        OperationKind::TranslateY => Operation::TranslateY(signed(0.45) * shape.height as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::operation::{named, number};
    use crate::random::Purpose;

    const SHAPE: Shape = Shape { height: 32, width: 40, channels: 3 };

    #[test]
    fn sizes_are_those_of_timm() {
        let golden = include_str!("../../tests/golden/augment/policies.json");
        let golden: serde_json::Value = serde_json::from_str(golden).expect("a JSON file");
        let golden: Vec<(String, f64, f64)> =
            serde_json::from_value(golden["randaugment"].clone()).expect("operations");
        let mut kinds: Vec<OperationKind> = golden.iter().map(|row| named(&row.0)).collect();
        for (kind, (_, magnitude, amount)) in kinds.iter().zip(&golden) {
            let operation = sized(*kind, magnitude / FULL, false, SHAPE);
            let difference = (number(operation) - amount).abs();
            assert!(difference < 1e-9, "{operation:?} at {magnitude}, not {amount}");
        }
        kinds.dedup();
        assert_eq!(kinds, KINDS);
    }

    #[test]
    fn the_negative_direction_is_the_opposite() {
        for kind in [
            OperationKind::ShearX,
            OperationKind::ShearY,
            OperationKind::TranslateX,
            OperationKind::TranslateY,
            OperationKind::Rotate,
        ] {
            let [there, back] = [false, true].map(|back| number(sized(kind, 0.7, back, SHAPE)));
            assert!(there > 0.1 && (there + back).abs() < 1e-12, "{kind:?}: {there}, {back}");
        }
    }

    #[test]
    fn kinds_directions_and_magnitudes_are_drawn_as_documented() {
        let policy = RandAugment { magnitude: 9.0, ..RandAugment::default() };
        let (mut all, mut turns, mut right, mut full, mut cubic) =
            (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
        for c in 0..60_000 {
            let mut stream = Stream::new(1, Purpose::Augment, 0, 0, c);
            let operation = policy.draw(SHAPE, &mut stream);
            all += u32::from(operation.is_some());
            if let Some((Operation::Rotate(degrees), interpolation)) = operation {
                turns += 1;
                cubic += u32::from(interpolation == Interpolation::Bicubic);
                right += u32::from(degrees < 0.0);
                full += u32::from(degrees.abs() > 30.0 - 1e-9);
            }
        }
        // Half of all, a fifteenth of these, half of these; standard deviations 122, 44, 22.
        assert!(all.abs_diff(30_000) < 700, "{all}");
        assert!(turns.abs_diff(2_000) < 250, "{turns}");
        assert!(right.abs_diff(turns / 2) < 120, "{right} of {turns}");
        assert!(cubic.abs_diff(turns / 2) < 120, "{cubic} of {turns}");
        // Magnitude 10 is two standard deviations away: 2.3 % of 2000, standard deviation 7.
        assert!((18..80).contains(&full), "{full} of {turns}");
    }

    #[test]
    fn layers_are_independent() {
        let pixels: Vec<u8> = (0..SHAPE.bytes()).map(|i| (i * i / 7) as u8).collect();
        let mut unchanged = 0_u32;
        for c in 0..400 {
            let stream = || Stream::new(1, Purpose::Augment, 0, 0, c);
            let [mut once, mut twice] = [Canvas::default(), Canvas::default()];
            once.load(SHAPE.height, SHAPE.width, &pixels);
            twice.load(SHAPE.height, SHAPE.width, &pixels);
            let policy = RandAugment::default();
            policy.apply(&mut once, [1, 2, 3], &mut stream());
            let mut stream = stream();
            let mut left_out = 0;
            for _ in 0..2 {
                match policy.draw(SHAPE, &mut stream) {
                    Some((operation, interpolation)) => {
                        operation.apply(&mut twice, Reading { interpolation, fill: [1, 2, 3] });
                    }
                    None => left_out += 1,
                }
            }
            assert_eq!(once.pixels(), twice.pixels());
            unchanged += u32::from(left_out == 2);
        }
        // A quarter; the standard deviation is 9.
        assert!(unchanged.abs_diff(100) < 45, "{unchanged}");
    }
}
