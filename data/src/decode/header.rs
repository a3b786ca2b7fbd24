//! What a JPEG file says of itself before its pixels begin.
//!
//! ```text
//! FF D8                          start of image
//! FF xx  length u16 BE  …        segments; length counts itself; FF may be repeated before xx
//! FF Cn  length u16 BE           frame header:  precision u8 | height u16 BE | width u16 BE | …
//! FF DA  length u16 BE  …        start of scan: entropy-coded data follow, in which every FF is
//!                                followed by 00 or by a restart marker D0…D7
//! FF D9                          end of image
//! ```
//!
//! Reading this far costs nothing and answers what the decoder would answer late or not at all:
//! how large the picture is, before any memory is taken for it, and whether the file is whole, also
//! where the window that is decoded ends before the missing part.

use std::ops::Range;

use super::error::ImageError;

const START_OF_IMAGE: u8 = 0xd8;
pub(super) const END_OF_IMAGE: u8 = 0xd9;
pub(super) const START_OF_SCAN: u8 = 0xda;

/// What is known of a JPEG file before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// Bits of a sample.
    pub precision: u8,
    /// The number of colour components: 1 for grey, 3 for colour, 4 for print.
    pub components: u8,
}

impl Header {
    /// Reads the header of the file `jpeg`, and checks that the file has an end.
    ///
    /// # Errors
    /// When the bytes are no JPEG file, or not a whole one.
    pub fn read(jpeg: &[u8]) -> Result<Self, ImageError> {
        match jpeg {
            [] => return Err(ImageError::Empty),
            [0xff, START_OF_IMAGE, ..] => {}
            _ => return Err(ImageError::NotJpeg { found: kind_of(jpeg) }),
        }
        let truncated = ImageError::Truncated { bytes: jpeg.len() };
        let (header, pixels) = walk(jpeg, |_, _| ())?;
        let header = header.ok_or_else(|| corrupt("pixels begin before their size is known"))?;
        if !jpeg[pixels..].windows(2).rev().any(|pair| pair == [0xff, END_OF_IMAGE]) {
            return Err(truncated);
        }
        if header.width == 0 || header.height == 0 {
            // A height of 0 is legal (it would follow the first scan) but no encoder writes it.
            return Err(corrupt("the picture has no columns or no rows"));
        }
        Ok(header)
    }

    /// The number of pixels.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// C4, C8 and CC are tables and an extension; the other Cn are kinds of frames.
pub(super) fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// Follows the segments up to the first scan, and tells `each` its marker and where it lies, from
/// the `FF` before the marker on: the frame header, and where the scan begins.
pub(super) fn walk(
    jpeg: &[u8],
    mut each: impl FnMut(u8, Range<usize>),
) -> Result<(Option<Header>, usize), ImageError> {
    let truncated = || ImageError::Truncated { bytes: jpeg.len() };
    let byte = |at: usize| jpeg.get(at).copied().ok_or_else(truncated);
    let (mut at, mut header) = (2, None);
    loop {
        // Decoders skip what stands between segments, so this does too.
        while byte(at)? != 0xff {
            at += 1;
        }
        while byte(at)? == 0xff {
            at += 1;
        }
        let marker = byte(at)?;
        at += 1;
        if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd7) {
            continue; // these stand alone
        }
        if matches!(marker, START_OF_IMAGE | END_OF_IMAGE) {
            return Err(corrupt("there are no pixels"));
        }
        let length = usize::from(u16::from_be_bytes([byte(at)?, byte(at + 1)?]));
        let segment = jpeg.get(at..at + length).ok_or_else(truncated)?;
        if is_frame(marker) {
            let &[_, _, precision, high, low, left, right, components, ..] = segment else {
                return Err(corrupt("the frame header is too short"));
            };
            let height = u32::from(u16::from_be_bytes([high, low]));
            let width = u32::from(u16::from_be_bytes([left, right]));
            header = Some(Header { width, height, precision, components });
        }
        if length < 2 {
            return Err(corrupt("a segment is shorter than its length"));
        }
        each(marker, at - 2..at + length);
        at += length;
        if marker == START_OF_SCAN {
            return Ok((header, at));
        }
    }
}

fn corrupt(message: &str) -> ImageError {
    ImageError::Corrupt { message: message.to_owned() }
}

/// What the first bytes of a file that is no JPEG announce.
fn kind_of(bytes: &[u8]) -> &'static str {
    let kinds: [(&[u8], &str); 8] = [
        (b"\x89PNG\r\n\x1a\n", "a PNG"),
        (b"GIF8", "a GIF"),
        (b"BM", "a BMP"),
        (b"RIFF", "a WebP or another RIFF file"),
        (b"II*\0", "a TIFF"),
        (b"MM\0*", "a TIFF"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    ];
    let known = kinds.into_iter().find(|(magic, _)| bytes.starts_with(magic));
    known.map_or("something else", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file of 7×5 grey pixels as far as this module looks at it.
    const SMALL: [u8; 24] = [
        0xff, 0xd8, 0xff, 0xc0, 0, 8, 8, 0, 5, 0, 7, 1, 0xff, 0xda, 0, 2, 1, 2, 0xff, 0, 3, 4,
        0xff, 0xd9,
    ];

    #[test]
    fn size_and_kind_are_read() {
        let header = Header { width: 7, height: 5, precision: 8, components: 1 };
        assert_eq!(Header::read(&SMALL), Ok(header));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        for length in 0..SMALL.len() {
            assert!(Header::read(&SMALL[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn bytes_after_the_end_do_no_harm() {
        let mut padded = SMALL.to_vec();
        padded.extend([0; 100]);
        assert!(Header::read(&padded).is_ok());
    }

    /// A thumbnail inside a segment has an end of its own.
    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_the_file() {
        let mut file = vec![0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        file.extend(&SMALL[2..22]);
        assert_eq!(Header::read(&file), Err(ImageError::Truncated { bytes: file.len() }));
    }

    #[test]
    fn other_formats_are_named() {
        let refusal = |bytes: &[u8]| Header::read(bytes).unwrap_err().to_string();
        let refusals = [
            refusal(b""),
            refusal(b"\x89PNG\r\n\x1a\nmore"),
            refusal(b"GIF89a"),
            refusal(b"hello"),
            refusal(&SMALL[..20]),
            refusal(b"\xff\xd8\xff\xd9"),
        ];
        insta::assert_snapshot!(refusals.join("\n"), @r"
        the image has no bytes
        the image is not a JPEG but a PNG
        the image is not a JPEG but a GIF
        the image is not a JPEG but something else
        the JPEG is cut off: 20 bytes without an end marker
        the JPEG is corrupt: there are no pixels
        ");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::read(&bytes);
            if bytes.len() > 2 {
                bytes[..2].copy_from_slice(&[0xff, 0xd8]);
                let _ = Header::read(&bytes);
            }
        }
    }
}
