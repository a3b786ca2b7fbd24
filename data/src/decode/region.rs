//! Which pixels of a photograph have to be decoded for a window of it, and at which scale.
//!
//! libjpeg-turbo decodes from a column that is a multiple of a block of the file (its "iMCU", 8 to
//! 32 columns). At the edges of what is decoded it has no neighbours from which to interpolate
//! colours, so pixels there differ a little from those of the whole picture; a margin keeps this
//! edge outside the window. What is decoded inside is then equal to the whole picture, bit by bit.

/// A rectangle of pixels. Coordinates count from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first column.
    pub left: u32,
    /// The first row.
    pub top: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

impl Window {
    /// The window that is a whole picture of `width` columns and `height` rows.
    pub fn whole(width: u32, height: u32) -> Self {
        Self { left: 0, top: 0, width, height }
    }

    /// True when the window has pixels and lies inside a picture of `width` columns and `height`
    /// rows.
    pub fn fits(&self, width: u32, height: u32) -> bool {
        let within = |start: u32, size: u32, limit: u32| {
            size > 0 && start.checked_add(size).is_some_and(|end| end <= limit)
        };
        within(self.left, self.width, width) && within(self.top, self.height, height)
    }
}

/// How much smaller than the picture it is decoded: 1, 2, 4 or 8 pixels become one. The decoder
/// then takes fewer frequencies out of each block, which is cheaper than resizing.
pub type ScaleDenominator = u32;

/// A reduced picture is used where it is at least this much larger than what is asked for. The
/// smaller this number, the further the result may be from that of the whole picture.
const SPARE: f64 = 1.4;

/// Fewer columns than these are not decoded where the picture has more: libjpeg-turbo chooses its way of
/// interpolating colours by the width of the whole picture, and that way needs two columns of colour,
/// each of which stands for up to two of the picture.
const COLUMNS_MIN: u32 = 5;

/// What to decode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecodePlan {
    /// The scale at which to decode.
    pub reduction: ScaleDenominator,
    /// The pixels to decode, in the picture so reduced. The left edge is a multiple of the block.
    pub decoded: Window,
    /// The window asked for, in columns and rows of what is decoded; whole numbers when the
    /// reduction is 1.
    pub inner: Inner,
}

/// A rectangle that need not begin and end between pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inner {
    /// The left edge.
    pub left: f64,
    /// The upper edge.
    pub top: f64,
    /// Distance between the left and the right edge.
    pub width: f64,
    /// Distance between the upper and the lower edge.
    pub height: f64,
}

#[cfg(feature = "pictures")]
impl Inner {
    /// Left and upper edge, width and height.
    pub fn rectangle(self) -> [f64; 4] {
        [self.left, self.top, self.width, self.height]
    }
}

impl DecodePlan {
    /// The plan for a picture of `size` that can only be decoded as a whole.
    pub fn in_one_piece(window: Window, size: (u32, u32)) -> Self {
        assert!(window.fits(size.0, size.1), "{window:?} reaches outside {size:?}");
        let inner = Inner {
            left: f64::from(window.left),
            top: f64::from(window.top),
            width: f64::from(window.width),
            height: f64::from(window.height),
        };
        Self { reduction: 1, decoded: Window::whole(size.0, size.1), inner }
    }
}

/// The largest reduction at which `window` still is somewhat larger than `target` (columns, rows).
pub fn reduction(window: Window, target: (u32, u32)) -> ScaleDenominator {
    let horizontal = f64::from(window.width) / f64::from(target.0);
    let vertical = f64::from(window.height) / f64::from(target.1);
    let spare = horizontal.min(vertical) / SPARE;
    [8, 4, 2].into_iter().find(|&factor| f64::from(factor) <= spare).unwrap_or(1)
}

/// Plans decoding `window` of a picture of `size` (columns, rows) whose blocks are `block` columns
/// wide, at `reduction`.
///
/// # Panics
/// When the window does not lie inside the picture: it was drawn for a picture of this size.
pub fn plan(
    window: Window,
    size: (u32, u32),
    block: u32,
    reduction: ScaleDenominator,
) -> DecodePlan {
    assert!(window.fits(size.0, size.1), "{window:?} reaches outside {size:?}");
    let (width, height) = (size.0.div_ceil(reduction), size.1.div_ceil(reduction));
    let block = (block / reduction).max(1);
    let first = (window.left / reduction).saturating_sub(1);
    let mut left = first - first % block;
    let right = (window.left + window.width).div_ceil(reduction).saturating_add(2).min(width);
    while right - left < COLUMNS_MIN && left > 0 {
        left -= block;
    }
    let top = (window.top / reduction).saturating_sub(2);
    let bottom = (window.top + window.height).div_ceil(reduction).saturating_add(2).min(height);
    let scale = f64::from(reduction);
    DecodePlan {
        reduction,
        decoded: Window { left, top, width: right - left, height: bottom - top },
        inner: Inner {
            left: f64::from(window.left) / scale - f64::from(left),
            top: f64::from(window.top) / scale - f64::from(top),
            width: f64::from(window.width) / scale,
            height: f64::from(window.height) / scale,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn window()(
            width in 1_u32..5_000, height in 1_u32..5_000, place in any::<[u32; 4]>(),
        ) -> (Window, (u32, u32)) {
            let (left, top) = (place[0] % width, place[1] % height);
            let window = Window {
                left,
                top,
                width: 1 + place[2] % (width - left),
                height: 1 + place[3] % (height - top),
            };
            (window, (width, height))
        }
    }

    proptest! {
        #[test]
        fn what_is_decoded_holds_the_window_and_lies_inside_the_picture(
            (window, size) in window(),
            block in prop::sample::select(&[8_u32, 16, 32][..]),
            reduction in prop::sample::select(&[1_u32, 2, 4, 8][..]),
        ) {
            let DecodePlan { decoded, inner, .. } = plan(window, size, block, reduction);
            let reduced = (size.0.div_ceil(reduction), size.1.div_ceil(reduction));
            prop_assert!(decoded.fits(reduced.0, reduced.1), "{decoded:?} in {reduced:?}");
            prop_assert_eq!(decoded.left % (block / reduction), 0);
            prop_assert!(inner.left >= 0.0 && inner.top >= 0.0);
            prop_assert!(inner.left + inner.width <= f64::from(decoded.width));
            prop_assert!(inner.top + inner.height <= f64::from(decoded.height));
            if reduction == 1 {
                prop_assert_eq!(inner.left as u32 + decoded.left, window.left);
                prop_assert_eq!(inner.top as u32 + decoded.top, window.top);
                // Nothing but the margin is decoded beyond the window.
                prop_assert!(inner.left <= f64::from(block + COLUMNS_MIN));
                prop_assert!(decoded.height <= window.height + 4);
            }
        }

        #[test]
        fn a_reduced_window_is_never_smaller_than_what_is_asked_for((window, _) in window()) {
            let factor = reduction(window, (224, 224));
            prop_assert!(factor == 1 || window.width >= 224 * factor);
            prop_assert!(factor == 1 || window.height >= 224 * factor);
        }
    }

    #[test]
    fn photographs_of_ordinary_size_are_not_reduced() {
        assert_eq!(reduction(Window::whole(500, 375), (224, 224)), 1);
        assert_eq!(reduction(Window::whole(4_000, 3_000), (224, 224)), 8);
        assert_eq!(reduction(Window::whole(4_000, 700), (224, 224)), 2);
    }
}
