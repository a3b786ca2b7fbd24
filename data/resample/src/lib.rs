//! A window of pixels, resized.
//!
//! A crate of its own, because the library behind it is generic in pixels and views: whoever calls it compiles
//! hundreds of functions, which was the larger half of everything that `lcsl-data` compiled, once for the crate and
//! once for its tests.
//!
//! The filter is the triangle that Pillow and torchvision call bilinear with antialiasing: as wide as the reduction,
//! and one pixel to each side where the window is enlarged.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions};

/// The buffers of a resize, to be used again.
pub use fast_image_resize::Resizer;

/// Which pixels become which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resizing {
    /// Width and height of the picture.
    pub size: (u32, u32),
    /// What is resized of it: left and upper edge, width and height, which need not be those of pixels. Nothing outside
    /// is looked at, but for the rest of a pixel that an edge cuts through.
    pub inner: [f64; 4],
    /// Width and height of what comes out.
    pub wanted: (u32, u32),
}

impl Resizing {
    /// Resizes from the rows of `source` to those of `target`, pixels of three bytes.
    ///
    /// # Panics
    /// When the slices are not as long as their sizes say, or the window reaches outside the picture.
    pub fn rgb(self, resizer: &mut Resizer, source: &[u8], target: &mut [u8]) {
        self.run::<U8x3>(resizer, source, target);
    }

    /// [`Resizing::rgb`] of pixels of four bytes, which the resizer handles faster than three.
    ///
    /// # Panics
    /// As [`Resizing::rgb`] does.
    pub fn rgb_padded(self, resizer: &mut Resizer, source: &[u8], target: &mut [u8]) {
        self.run::<U8x4>(resizer, source, target);
    }

    fn run<P: PixelTrait>(self, resizer: &mut Resizer, source: &[u8], target: &mut [u8]) {
        let Self { size, inner, wanted } = self;
        let source = TypedImageRef::<P>::from_buffer(size.0, size.1, source)
            .expect("the picture has as many bytes as its size says");
        let mut target = TypedImage::<P>::from_buffer(wanted.0, wanted.1, target)
            .expect("the target has as many bytes as its size says");
        // The filter must not see beyond the window, so it is given nothing else.
        let [inner_left, inner_top, width, height] = inner;
        let (left, top) = (inner_left.floor(), inner_top.floor());
        let (right, bottom) = ((inner_left + width).ceil(), (inner_top + height).ceil());
        let view = TypedCroppedImage::from_ref(
            &source,
            left as u32,
            top as u32,
            (right - left) as u32,
            (bottom - top) as u32,
        )
        .expect("the window lies inside the picture");
        let options =
            bilinear().use_alpha(false).crop(inner_left - left, inner_top - top, width, height);
        resizer.resize_typed(&view, &mut target, &options).expect("the window was checked");
    }
}

/// Cuts the middle of the shape of `wanted` (width, height) out of the rows of `source`, a picture of `size` in
/// pixels of three bytes, and resizes it to the rows of `target`.
///
/// # Errors
/// In the library's words, where slices are not as long as their sizes say or a size is 0.
pub fn fitted_rgb(
    size: (u32, u32),
    source: &[u8],
    wanted: (u32, u32),
    target: &mut [u8],
) -> Result<(), String> {
    let source = TypedImageRef::<U8x3>::from_buffer(size.0, size.1, source)
        .map_err(|error| error.to_string())?;
    // All of it, in the type in which windows are: the resizer is compiled once for both.
    let source = TypedCroppedImage::from_ref(&source, 0, 0, size.0, size.1)
        .map_err(|error| error.to_string())?;
    let mut target = TypedImage::<U8x3>::from_buffer(wanted.0, wanted.1, target)
        .map_err(|error| error.to_string())?;
    let options = bilinear().fit_into_destination(None);
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|error| error.to_string())
}

fn bilinear() -> ResizeOptions {
    ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
}
