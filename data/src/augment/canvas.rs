#[cfg(feature = "pictures")]
use lcsl_resample::Resizer;

use crate::images::Shape;

/// Red, green and blue.
pub type RgbPixel = [u8; 3];

/// An RGB image that operations change in place, and the room they need for it.
///
/// A worker keeps one canvas and loads image after image: after the largest of them nothing is
/// allocated any more.
///
/// ```
/// use lcsl_data::augment::{Canvas, geometry};
///
/// let mut canvas = Canvas::default();
/// canvas.load(1, 2, &[1, 2, 3, 4, 5, 6]);
/// geometry::mirror(&mut canvas);
/// assert_eq!(canvas.pixels(), [4, 5, 6, 1, 2, 3]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Canvas {
    height: usize,
    width: usize,
    /// Rows from top to bottom, pixels from left to right, red, green and blue.
    pixels: Vec<u8>,
    /// As long as `pixels`; what is in it means nothing between two operations.
    spare: Vec<u8>,
    /// Running sums of a blur; what is in it means nothing between two operations.
    pub(super) sums: Vec<u32>,
    /// The buffers of a resize.
    #[cfg(feature = "pictures")]
    pub(super) resizer: Resizer,
}

impl Canvas {
    /// Replaces the image with `source`, `height` rows of `width` pixels of three bytes.
    ///
    /// # Panics
    /// When `source` is not of that size, or has no pixels.
    pub fn load(&mut self, height: usize, width: usize, source: &[u8]) {
        assert_eq!(source.len(), height * width * 3, "bytes of an image");
        assert!(!source.is_empty(), "an image without pixels");
        (self.height, self.width) = (height, width);
        self.pixels.clear();
        self.pixels.extend_from_slice(source);
        self.spare.resize(source.len(), 0);
    }

    /// Replaces the image with `source`, which may be grey: three channels are then the same.
    ///
    /// # Panics
    /// When `source` is not of that shape, has no pixels, or neither one nor three channels.
    pub fn load_image(&mut self, shape: Shape, source: &[u8]) {
        let Shape { height, width, channels } = shape;
        if channels != 1 {
            assert_eq!(channels, 3, "channels of an image");
            return self.load(height, width, source);
        }
        assert_eq!(source.len(), shape.bytes(), "bytes of an image");
        assert!(!source.is_empty(), "an image without pixels");
        (self.height, self.width) = (height, width);
        self.pixels.clear();
        self.pixels.extend(source.iter().flat_map(|&level| [level; 3]));
        self.spare.resize(self.pixels.len(), 0);
    }

    /// Writes the image to `target`, with three channels or the first of them alone.
    ///
    /// # Panics
    /// When `target` does not hold so many pixels of so many channels, or `channels` is neither.
    pub fn store(&self, channels: usize, target: &mut [u8]) {
        if channels == 3 {
            target.copy_from_slice(&self.pixels);
            return;
        }
        assert_eq!((channels, target.len()), (1, self.pixels.len() / 3), "bytes of an image");
        for (level, [first, ..]) in target.iter_mut().zip(self.pixels.as_chunks::<3>().0) {
            *level = *first;
        }
    }

    /// Rows, columns, and three channels.
    pub fn shape(&self) -> Shape {
        Shape { height: self.height, width: self.width, channels: 3 }
    }

    /// The image's bytes: rows, columns, channels.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The image's bytes, for operations that need no other place than a pixel's own.
    pub(super) fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The image as colours.
    pub(super) fn colours_mut(&mut self) -> &mut [RgbPixel] {
        self.pixels.as_chunks_mut().0
    }

    /// `draw(old, new)` writes every byte of the new image.
    pub(super) fn redraw(&mut self, draw: impl FnOnce(&[u8], &mut [u8])) {
        draw(&self.pixels, &mut self.spare);
        std::mem::swap(&mut self.pixels, &mut self.spare);
    }

    /// `draw(old image, row, new row)` writes every pixel of each row of the new image.
    pub(super) fn redraw_rows(
        &mut self,
        mut draw: impl FnMut(&[RgbPixel], usize, &mut [RgbPixel]),
    ) {
        let width = self.width;
        self.redraw(|source, target| {
            let (source, target) = (source.as_chunks().0, target.as_chunks_mut().0);
            for (row, target) in target.chunks_exact_mut(width).enumerate() {
                draw(source, row, target);
            }
        });
    }
}
