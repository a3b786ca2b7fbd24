//! A window of pixels, resized and perhaps mirrored.
//!
//! The filter is the triangle that Pillow and torchvision call bilinear with antialiasing: as wide
//! as the reduction, and one pixel to each side where the window is enlarged.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::region::{Inner, Window};
use crate::images::Shape;

/// Bytes of a pixel.
const RGB: usize = 3;

/// Whether an image is mirrored left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// As it is.
    No,
    /// Left becomes right.
    Yes,
}

/// Resizes `inner` of `source` (RGB rows of a picture with the width and height of `size`) to all
/// of `target`, an RGB image of `shape`. Nothing outside `inner` is looked at, but for the rest of
/// a pixel that its edge cuts through.
///
/// # Panics
/// When the slices are not as long as their sizes say, `inner` reaches outside the picture, or an
/// image has other than three channels.
pub fn resize(
    resizer: &mut Resizer,
    source: &[u8],
    size: (u32, u32),
    inner: Inner,
    target: &mut [u8],
    shape: Shape,
) {
    assert_eq!(shape.channels, RGB, "channels of an image that is resized");
    assert_eq!(target.len(), shape.bytes(), "bytes of the resized image");
    let source = TypedImageRef::<U8x3>::from_buffer(size.0, size.1, source)
        .expect("the picture has as many bytes as its size says");
    let mut target =
        TypedImage::<U8x3>::from_buffer(shape.width as u32, shape.height as u32, target)
            .expect("the length was checked above");
    // The filter must not see beyond the window, so it is given nothing else.
    let (left, top) = (inner.left.floor(), inner.top.floor());
    let right = (inner.left + inner.width).ceil();
    let bottom = (inner.top + inner.height).ceil();
    let pixels = Window {
        left: left as u32,
        top: top as u32,
        width: (right - left) as u32,
        height: (bottom - top) as u32,
    };
    let view =
        TypedCroppedImage::from_ref(&source, pixels.left, pixels.top, pixels.width, pixels.height)
            .expect("the window lies inside the picture");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false)
        .crop(inner.left - left, inner.top - top, inner.width, inner.height);
    resizer.resize_typed(&view, &mut target, &options).expect("the window was checked");
}

/// Mirrors the RGB rows of `image`, each `width` pixels long, left to right in place.
///
/// # Panics
/// When the image is not made of such rows.
pub fn mirror(image: &mut [u8], width: usize) {
    assert_eq!(image.len() % (width * RGB), 0, "bytes of an image in rows of {width}");
    for row in image.chunks_exact_mut(width * RGB) {
        let (pixels, _) = row.as_chunks_mut::<RGB>();
        pixels.reverse();
    }
}
