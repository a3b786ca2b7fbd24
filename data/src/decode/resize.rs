//! A window of pixels, resized and perhaps mirrored.
//!
//! The filter is the triangle that Pillow and torchvision call bilinear with antialiasing: as wide
//! as the reduction, and one pixel to each side where the window is enlarged.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use super::region::{Inner, Window};

/// Bytes of a decoded pixel. Four, because the resizer handles four faster than three.
pub const PIXEL: usize = 4;
/// Bytes of a pixel that is handed out.
const RGB: usize = 3;

/// Whether an image is mirrored left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// As it is.
    No,
    /// Left becomes right.
    Yes,
}

/// Which pixels become which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resizing {
    /// Width and height of the picture.
    pub size: (u32, u32),
    /// What is resized of it. Nothing outside is looked at, but for the rest of a pixel that its edge
    /// cuts through.
    pub inner: Inner,
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

    /// [`Resizing::rgb`] of pixels of four bytes, as [`PIXEL`] says.
    ///
    /// # Panics
    /// As [`Resizing::rgb`] does.
    pub fn rgb_padded(self, resizer: &mut Resizer, source: &[u8], target: &mut [u8]) {
        self.run::<U8x4>(resizer, source, target);
    }

    /// Not public: whoever calls it compiles the resizer for a type of pixels, hundreds of functions.
    fn run<P: PixelTrait>(self, resizer: &mut Resizer, source: &[u8], target: &mut [u8]) {
        let Self { size, inner, wanted } = self;
        let source = TypedImageRef::<P>::from_buffer(size.0, size.1, source)
            .expect("the picture has as many bytes as its size says");
        let mut target = TypedImage::<P>::from_buffer(wanted.0, wanted.1, target)
            .expect("the target has as many bytes as its size says");
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
        let view = TypedCroppedImage::from_ref(
            &source,
            pixels.left,
            pixels.top,
            pixels.width,
            pixels.height,
        )
        .expect("the window lies inside the picture");
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .use_alpha(false)
            .crop(inner.left - left, inner.top - top, inner.width, inner.height);
        resizer.resize_typed(&view, &mut target, &options).expect("the window was checked");
    }
}

/// Copies rows of `width` pixels of four bytes to `target` without their last bytes, mirrored or not.
///
/// # Panics
/// When one of them is not made of such rows, or has other than as many pixels.
pub fn pack(pixels: &[u8], width: usize, mirrored: Mirror, target: &mut [u8]) {
    let (rows, pixels) = (target.chunks_exact_mut(width * RGB), pixels.chunks_exact(width * PIXEL));
    assert_eq!(rows.len(), pixels.len(), "rows of {width} pixels");
    for (row, pixels) in rows.zip(pixels) {
        let pixels = pixels.as_chunks::<PIXEL>().0;
        match mirrored {
            Mirror::No => pack_row(pixels.iter(), row),
            Mirror::Yes => pack_row(pixels.iter().rev(), row),
        }
    }
}

/// Every pixel moves as one word of four bytes, the last of which the next pixel overwrites.
fn pack_row<'a>(mut pixels: impl DoubleEndedIterator<Item = &'a [u8; PIXEL]>, row: &mut [u8]) {
    let last = pixels.next_back();
    let mut rest = row;
    for pixel in pixels {
        rest[..PIXEL].copy_from_slice(pixel);
        rest = &mut rest[RGB..];
    }
    if let Some(last) = last {
        rest.copy_from_slice(&last[..RGB]);
    }
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
