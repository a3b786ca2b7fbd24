//! Random colours.

use super::{Canvas, colour};
use crate::random::Stream;

/// Random brightness, contrast, saturation and hue, in random order: torchvision's `ColorJitter`.
///
/// What has an amount of 0 is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourJitter {
    /// Factors lie in `max(0, 1 - brightness)..=1 + brightness`.
    pub brightness: f64,
    /// Factors lie in `max(0, 1 - contrast)..=1 + contrast`.
    pub contrast: f64,
    /// Factors lie in `max(0, 1 - saturation)..=1 + saturation`.
    pub saturation: f64,
    /// Shifts lie in `-hue..=hue` turns; at most 0.5.
    pub hue: f64,
}

impl ColourJitter {
    /// Changes the colours of the image in `canvas`.
    pub fn apply(&self, canvas: &mut Canvas, stream: &mut Stream) {
        for (quality, value) in self.draw(stream) {
            match quality {
                Quality::Brightness => colour::brightness(canvas, value),
                Quality::Contrast => colour::contrast(canvas, value),
                Quality::Saturation => colour::saturation(canvas, value),
                Quality::Hue => colour::hue(canvas, value),
            }
        }
    }

    /// What to do to the next image, in this order, with which factor or shift.
    fn draw(&self, stream: &mut Stream) -> impl Iterator<Item = (Quality, f64)> + use<> {
        let around_1 = |amount: f64| ((1.0 - amount).max(0.0), 1.0 + amount);
        let ranges = [
            (Quality::Brightness, self.brightness, around_1(self.brightness)),
            (Quality::Contrast, self.contrast, around_1(self.contrast)),
            (Quality::Saturation, self.saturation, around_1(self.saturation)),
            (Quality::Hue, self.hue, (-self.hue, self.hue)),
        ];
        // The order of these draws is part of what a seed means.
        let mut drawn = ranges.map(|(quality, amount, (least, most))| {
            (quality, amount, least + (most - least) * stream.unit())
        });
        stream.shuffle(&mut drawn);
        // A shift of 0 would still round the colours.
        drawn.into_iter().filter(|drawn| drawn.1 != 0.0).map(|drawn| (drawn.0, drawn.2))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Quality {
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
    use std::collections::BTreeMap;

    const USUAL: ColourJitter =
        ColourJitter { brightness: 0.4, contrast: 0.3, saturation: 1.2, hue: 0.1 };

    fn stream(c: u64) -> Stream {
        Stream::new(1, Purpose::Augment, 0, 0, c)
    }

    #[test]
    fn every_order_comes_up_and_values_fill_their_ranges() {
        let mut orders = BTreeMap::new();
        let mut ranges = BTreeMap::new();
        for c in 0..24_000 {
            let drawn: Vec<_> = USUAL.draw(&mut stream(c)).collect();
            *orders
                .entry(drawn.iter().map(|drawn| drawn.0).collect::<Vec<_>>())
                .or_insert(0_u32) += 1;
            for (quality, value) in drawn {
                let (least, most) = ranges.entry(quality).or_insert((value, value));
                (*least, *most) = (value.min(*least), value.max(*most));
            }
        }
        assert_eq!(orders.len(), 24);
        // The standard deviation of each count is about 31.
        assert!(orders.values().all(|count| count.abs_diff(1_000) < 170), "{orders:?}");
        let expected = [(0.6, 1.4), (0.7, 1.3), (0.0, 2.2), (-0.1, 0.1)];
        for (drawn, expected) in ranges.values().zip(expected) {
            assert!((expected.0..expected.0 + 0.002).contains(&drawn.0), "{ranges:?}");
            assert!((expected.1 - 0.002..=expected.1).contains(&drawn.1), "{ranges:?}");
        }
    }

    #[test]
    fn the_image_is_what_was_drawn() {
        let pixels: Vec<u8> = (0..=255).cycle().take(3 * 120).collect();
        for c in 0..20 {
            let [mut jittered, mut expected] = [Canvas::default(), Canvas::default()];
            jittered.load(10, 12, &pixels);
            expected.load(10, 12, &pixels);
            USUAL.apply(&mut jittered, &mut stream(c));
            for (quality, value) in USUAL.draw(&mut stream(c)) {
                let operation =
                    [colour::brightness, colour::contrast, colour::saturation, colour::hue];
                operation[quality as usize](&mut expected, value);
            }
            assert_eq!(jittered.pixels(), expected.pixels());
            assert_ne!(jittered.pixels(), pixels);
        }
    }

    #[test]
    fn no_jitter_changes_nothing() {
        let none = ColourJitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };
        let pixels: Vec<u8> = (0..=255).cycle().take(3 * 120).collect();
        let mut canvas = Canvas::default();
        canvas.load(10, 12, &pixels);
        none.apply(&mut canvas, &mut stream(0));
        assert_eq!(canvas.pixels(), pixels);
    }
}
