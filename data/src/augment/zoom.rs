//! A window of an image, resized to the size of the whole.

use super::Canvas;
use crate::decode::Window;
#[cfg(feature = "pictures")]
use crate::decode::region::DecodePlan;
#[cfg(feature = "pictures")]
use crate::decode::resize::Resizing;
#[cfg(feature = "pictures")]
use crate::images::Shape;

/// Resizes a window of the image to the size of the whole, as `decode::resize` does.
///
/// # Panics
/// When the window reaches outside the image.
#[cfg(feature = "pictures")]
pub fn zoom(canvas: &mut Canvas, window: Window) {
    let Shape { height, width, .. } = canvas.shape();
    let size = (width as u32, height as u32);
    let resizing = Resizing {
        size,
        inner: DecodePlan::in_one_piece(window, size).inner.rectangle(),
        wanted: size,
    };
    let mut resizer = std::mem::take(&mut canvas.resizer);
    canvas.redraw(|source, target| resizing.rgb(&mut resizer, source, target));
    canvas.resizer = resizer;
}

/// Without the feature `pictures` there is no resizer, and no program that trains either: it is for builds
/// that test what is computed from plain values.
///
/// # Panics
/// Always.
#[cfg(not(feature = "pictures"))]
pub fn zoom(_canvas: &mut Canvas, _window: Window) {
    unreachable!("resizing belongs to the feature `pictures` of lcsl-data")
}
