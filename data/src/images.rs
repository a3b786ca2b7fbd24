//! A set of labelled images of one size, in memory or mapped from a file.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::shard::mapping::Mapping;

/// The size of an image: every image of a set has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Bytes per pixel: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

impl Shape {
    /// Bytes of one image.
    pub fn bytes(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Bytes of one row of pixels.
    pub fn row_bytes(self) -> usize {
        self.width * self.channels
    }
}

/// Labelled images of one size, eight bits per channel.
///
/// Pixels lie in the order image, row, column, channel (NHWC), so that an image is one slice and so
/// is each of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    shape: Shape,
    pixels: Pixels,
    labels: Vec<u32>,
}

/// Bytes that a set owns, or shares with every process that maps the same file.
#[derive(Clone)]
enum Pixels {
    Owned(Vec<u8>),
    Mapped(Arc<Mapping>, Range<usize>),
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(pixels) => pixels,
            Self::Mapped(file, bytes) => &file[bytes.clone()],
        }
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Pixels {}

impl fmt::Debug for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if matches!(self, Self::Owned(_)) { "own" } else { "mapped" };
        write!(f, "{} {whose} bytes", self.len())
    }
}

impl ImageSet {
    /// Images of `shape` one after the other in `pixels`, and the label of each in `labels`.
    ///
    /// # Panics
    /// When there are not as many images as labels: a reader checks its file before it builds a
    /// set.
    pub fn new(shape: Shape, pixels: Vec<u8>, labels: Vec<u32>) -> Self {
        Self::over(shape, Pixels::Owned(pixels), labels)
    }

    /// The same of images that lie at `bytes` of a mapped file.
    ///
    /// # Panics
    /// As [`ImageSet::new`] does, and when the file has no such bytes.
    pub fn mapped(shape: Shape, file: Arc<Mapping>, bytes: Range<usize>, labels: Vec<u32>) -> Self {
        Self::over(shape, Pixels::Mapped(file, bytes), labels)
    }

    fn over(shape: Shape, pixels: Pixels, labels: Vec<u32>) -> Self {
        assert!(shape.bytes() > 0, "images of {shape:?} have no pixels");
        assert_eq!(pixels.len(), labels.len() * shape.bytes(), "pixels of {} images", labels.len());
        Self { shape, pixels, labels }
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when the set holds no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The size of each image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The bytes of image `index`: rows, columns, channels.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        let bytes = self.shape.bytes();
        &self.pixels[index * bytes..][..bytes]
    }

    /// The label of image `index`.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    /// All labels, in the order of the images.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// All bytes of all images, one image after the other.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_one_slice() {
        let shape = Shape { height: 1, width: 2, channels: 2 };
        let set = ImageSet::new(shape, (0..12).collect(), vec![7, 8, 9]);
        assert_eq!((set.len(), set.is_empty()), (3, false));
        assert_eq!((set.image(1), set.label(1)), (&[4, 5, 6, 7][..], 8));
    }
}
