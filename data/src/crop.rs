//! Which window of a photograph a training or a test image shows.

use crate::decode::Window;
use crate::random::Stream;

/// Tries before a window that fits is given up and the middle is taken.
const TRIES: usize = 10;

/// The shapes and sizes of random windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomResizedCrop {
    /// The least and the greatest share of the picture's area.
    pub scale: (f64, f64),
    /// The least and the greatest width over height.
    pub ratio: (f64, f64),
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        Self::INCEPTION
    }
}

impl RandomResizedCrop {
    /// Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6: 8 % to all of the
    /// area, between 3:4 and 4:3.
    pub const INCEPTION: Self = Self { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) };

    /// Draws a window of a picture of `width` columns and `height` rows, as torchvision's
    /// `RandomResizedCrop.get_params` does: area even, logarithm of the ratio even, place even;
    /// after ten windows that do not fit, the middle, as far as its ratio is allowed.
    ///
    /// # Panics
    /// When the picture has no pixels.
    pub fn draw(&self, width: u32, height: u32, stream: &mut Stream) -> Window {
        assert!(width > 0 && height > 0, "a picture of {width}×{height} pixels");
        let area = f64::from(width) * f64::from(height);
        let (low, high) = (libm::log(self.ratio.0), libm::log(self.ratio.1));
        // The order of these draws is part of what a seed means.
        for _ in 0..TRIES {
            let wanted = area * between(self.scale.0, self.scale.1, stream);
            let ratio = libm::exp(between(low, high, stream));
            let w = (wanted * ratio).sqrt().round_ties_even() as u32;
            let h = (wanted / ratio).sqrt().round_ties_even() as u32;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let top = stream.below(u64::from(height - h) + 1) as u32;
                let left = stream.below(u64::from(width - w) + 1) as u32;
                return Window { left, top, width: w, height: h };
            }
        }
        self.middle(width, height)
    }

    /// The largest window around the middle whose ratio is allowed.
    fn middle(&self, width: u32, height: u32) -> Window {
        let ratio = f64::from(width) / f64::from(height);
        let (mut w, mut h) = (width, height);
        if ratio < self.ratio.0 {
            h = (f64::from(width) / self.ratio.0).round_ties_even() as u32;
        } else if ratio > self.ratio.1 {
            w = (f64::from(height) * self.ratio.1).round_ties_even() as u32;
        }
        let (w, h) = (w.clamp(1, width), h.clamp(1, height));
        Window { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
    }
}

/// The square in the middle whose side is this share of the picture's shorter side: with 224/256
/// the pixels that evaluation on `ImageNet` looks at.
pub fn centre(width: u32, height: u32, share: f64) -> Window {
    let shorter = width.min(height);
    let side = ((f64::from(shorter) * share).round() as u32).clamp(1, shorter);
    Window { left: (width - side) / 2, top: (height - side) / 2, width: side, height: side }
}

fn between(low: f64, high: f64, stream: &mut Stream) -> f64 {
    low + (high - low) * stream.unit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
    use proptest::prelude::*;

    fn stream(position: u64) -> Stream {
        Stream::new(1, Purpose::Augment, 0, position, 0)
    }

    proptest! {
        #[test]
        fn windows_lie_inside_the_picture(width in 1_u32..4_000, height in 1_u32..4_000, p: u64) {
            let window = RandomResizedCrop::default().draw(width, height, &mut stream(p));
            prop_assert!(window.fits(width, height));
            prop_assert!(centre(width, height, 0.875).fits(width, height));
        }
    }

    /// Area and ratio of 20,000 windows against what torchvision's `get_params` gave over 200,000
    /// draws for the same picture.
    #[test]
    fn areas_and_ratios_are_distributed_as_torchvisions() {
        let (mut area, mut ratio) = (0.0, 0.0);
        let n = 20_000;
        for position in 0..n {
            let w = RandomResizedCrop::default().draw(500, 375, &mut stream(position));
            area += f64::from(w.width * w.height) / (500.0 * 375.0);
            ratio += f64::from(w.width) / f64::from(w.height);
        }
        let (area, ratio) = (area / n as f64, ratio / n as f64);
        assert!((area - 0.4339).abs() < 0.007, "{area}");
        assert!((ratio - 1.0451).abs() < 0.0055, "{ratio}");
    }

    #[test]
    fn a_picture_that_no_window_fits_shows_its_middle() {
        let window = RandomResizedCrop::default().draw(1_000, 2, &mut stream(0));
        assert_eq!(window, Window { left: 498, top: 0, width: 3, height: 2 });
        let window = RandomResizedCrop::default().draw(3, 1_000, &mut stream(0));
        assert_eq!(window, Window { left: 0, top: 498, width: 3, height: 4 });
    }

    #[test]
    fn the_centre_is_a_square() {
        let expected = Window { left: 86, top: 24, width: 328, height: 328 };
        assert_eq!(centre(500, 375, 0.875), Window { top: 23, ..expected });
    }
}
