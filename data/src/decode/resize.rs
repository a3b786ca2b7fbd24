//! A window of pixels, resized (by the crate `lcsl-resample`) and perhaps mirrored.

pub use lcsl_resample::Resizing;

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
