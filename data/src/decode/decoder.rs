//! One file in, one image of the wanted size out.

use lcsl_resample::Resizer;

use super::error::ImageError;
use super::header::Header;
use super::libjpeg::{Decompressor, Exactness, Format, HuffmanDecoder, JpegInfo};
use super::region::{DecodePlan, Window, plan, reduction};
use super::resize::{Mirror, PIXEL, Resizing, mirror, pack};
use crate::images::Shape;

/// The largest file and picture that are decoded: what is beyond is an error before memory is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of a file.
    pub bytes: usize,
    /// Pixels of a picture. While a file of several scans (so a progressive one) is decoded it takes up to
    /// 8 bytes per pixel, besides those of the pixels.
    pub pixels: u64,
}

impl Default for DecodeLimits {
    /// 64 MiB and 64 million pixels: several times what the largest file of `ImageNet` has.
    fn default() -> Self {
        Self { bytes: 64 << 20, pixels: 64_000_000 }
    }
}

/// A picture that was decoded as a whole.
#[derive(Clone, Debug)]
pub struct WholePicture {
    /// RGB, rows from top to bottom.
    pub pixels: Vec<u8>,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// See [`Decoder::extraneous_bytes`].
    pub extraneous_bytes: u64,
}

/// Decodes windows of JPEG files. It keeps its memory from file to file, as much as the largest
/// needed; each thread has its own.
#[derive(Debug)]
pub struct Decoder {
    limits: DecodeLimits,
    decompressor: Decompressor,
    resizer: Resizer,
    decoded: Vec<u8>,
    resized: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(DecodeLimits::default(), Exactness::Exact)
    }
}

impl Decoder {
    /// A decoder of files within `limits`.
    pub fn new(limits: DecodeLimits, exactness: Exactness) -> Self {
        Self::with(limits, exactness, HuffmanDecoder::default())
    }

    /// [`Decoder::new`], with a choice of the Huffman decoder.
    pub fn with(limits: DecodeLimits, exactness: Exactness, huffman: HuffmanDecoder) -> Self {
        Self {
            limits,
            decompressor: Decompressor::new(exactness, huffman),
            resizer: Resizer::new(),
            decoded: Vec::new(),
            resized: Vec::new(),
        }
    }

    /// Decodes a window of the file `jpeg`, resizes it to `shape` and writes it to `target` (RGB,
    /// rows from top to bottom).
    ///
    /// `choose` is told the picture's columns and rows and answers which window is wanted, and
    /// whether to mirror it.
    ///
    /// # Errors
    /// When the file is corrupt or beyond the limits; `target` then holds anything.
    ///
    /// # Panics
    /// When `choose` answers a window outside the picture, or `target` is not as long as an image
    /// of `shape`.
    pub fn window(
        &mut self,
        jpeg: &[u8],
        choose: impl FnOnce(u32, u32) -> (Window, Mirror),
        shape: Shape,
        target: &mut [u8],
    ) -> Result<(), ImageError> {
        let found = self.examine(jpeg)?;
        let (window, mirrored) = choose(found.width, found.height);
        let factor = reduction(window, (shape.width as u32, shape.height as u32));
        let plan = self.decode(jpeg, found, window, factor)?;
        assert_eq!(target.len(), shape.bytes(), "bytes of the resized image");
        let size = (plan.decoded.width, plan.decoded.height);
        let wanted = (shape.width as u32, shape.height as u32);
        let resizing = Resizing { size, inner: plan.inner.rectangle(), wanted };
        let decoded = &self.decoded[..bytes_of(size)];
        let resized = at_least(&mut self.resized, bytes_of(wanted));
        resizing.rgb_padded(&mut self.resizer, decoded, resized);
        pack(resized, shape.width, mirrored, target);
        Ok(())
    }

    /// [`Decoder::window`] of a picture that is not encoded: RGB rows of `size` (columns, rows).
    ///
    /// # Errors
    /// When there are more or fewer bytes than the size says.
    ///
    /// # Panics
    /// As [`Decoder::window`] does.
    pub fn window_of_rgb(
        &mut self,
        rows: &[u8],
        size: (u32, u32),
        choose: impl FnOnce(u32, u32) -> (Window, Mirror),
        shape: Shape,
        target: &mut [u8],
    ) -> Result<(), ImageError> {
        let expected = size.0 as usize * size.1 as usize * 3;
        if rows.len() != expected || expected == 0 {
            return Err(ImageError::Size { bytes: rows.len(), width: size.0, height: size.1 });
        }
        let (window, mirrored) = choose(size.0, size.1);
        assert_eq!(target.len(), shape.bytes(), "bytes of the resized image");
        let inner = DecodePlan::in_one_piece(window, size).inner;
        let resizing = Resizing {
            size,
            inner: inner.rectangle(),
            wanted: (shape.width as u32, shape.height as u32),
        };
        resizing.rgb(&mut self.resizer, rows, target);
        if mirrored == Mirror::Yes {
            mirror(target, shape.width);
        }
        Ok(())
    }

    /// Decodes the whole file `jpeg` as it is: its RGB pixels, which stay until the next call, with
    /// columns and rows.
    ///
    /// # Errors
    /// When the file is corrupt or beyond the limits.
    pub fn whole(&mut self, jpeg: &[u8]) -> Result<(&[u8], u32, u32), ImageError> {
        let found = self.examine(jpeg)?;
        let whole = Window::whole(found.width, found.height);
        self.decode(jpeg, found, whole, 1)?;
        let decoded = &self.decoded[..bytes_of((found.width, found.height))];
        let packed = at_least(&mut self.resized, decoded.len() / PIXEL * 3);
        pack(decoded, found.width as usize, Mirror::No, packed);
        Ok((packed, found.width, found.height))
    }

    /// [`Decoder::whole`] for a picture that is kept: its memory is handed over.
    ///
    /// # Errors
    /// When the file is corrupt or beyond the limits.
    pub fn into_whole(mut self, jpeg: &[u8]) -> Result<WholePicture, ImageError> {
        let (pixels, width, height) = self.whole(jpeg)?;
        let bytes = pixels.len();
        self.resized.truncate(bytes);
        let extraneous_bytes = self.extraneous_bytes();
        Ok(WholePicture { pixels: self.resized, width, height, extraneous_bytes })
    }

    /// Bytes between the codes of the last pixel and the end marker of the file that [`Decoder::whole`] decoded
    /// last. A sound file has none, or a few that fill it up; where bytes in the middle of a file are damaged,
    /// decoding often finds its way again, and a wrong number of codes is all that tells.
    pub fn extraneous_bytes(&self) -> u64 {
        self.decompressor.extraneous_bytes()
    }

    /// Columns and rows of the file `jpeg`.
    ///
    /// # Errors
    /// When the file is beyond the limits, or its header is corrupt.
    pub fn size(&mut self, jpeg: &[u8]) -> Result<(u32, u32), ImageError> {
        self.examine(jpeg).map(|found| (found.width, found.height))
    }

    /// How many pictures had their Huffman codes read by `entropy`, and not by libjpeg-turbo.
    pub fn pictures_read_fast(&self) -> u64 {
        self.decompressor.pictures_read_fast()
    }

    /// Everything that can be wrong before a pixel is decoded.
    fn examine(&mut self, jpeg: &[u8]) -> Result<JpegInfo, ImageError> {
        let limit = self.limits.bytes;
        if jpeg.len() > limit {
            return Err(ImageError::TooManyBytes { bytes: jpeg.len(), limit });
        }
        let header = Header::read(jpeg)?;
        if header.pixels() > self.limits.pixels {
            let Header { width, height, .. } = header;
            return Err(ImageError::TooManyPixels { width, height, limit: self.limits.pixels });
        }
        let found = self.decompressor.read_header(jpeg)?;
        if (found.width, found.height) != (header.width, header.height) {
            return Err(ImageError::Corrupt { message: "two headers disagree".to_owned() });
        }
        Ok(found)
    }

    /// Decodes what `window` needs into `self.decoded`, at its start, in RGB and a byte without
    /// meaning.
    fn decode(
        &mut self,
        jpeg: &[u8],
        found: JpegInfo,
        window: Window,
        factor: u32,
    ) -> Result<DecodePlan, ImageError> {
        let size = (found.width, found.height);
        let plan = match found.block {
            Some(block) => plan(window, size, block, factor),
            None => DecodePlan::in_one_piece(window, size),
        };
        let Window { width, height, .. } = plan.decoded;
        let pixels = at_least(&mut self.decoded, bytes_of((width, height)));
        self.decompressor.decode(jpeg, found, plan.decoded, plan.reduction, pixels)?;
        if found.format == Format::Cmyk {
            print_to_rgb(pixels);
        }
        Ok(plan)
    }
}

/// Bytes of so many columns and rows as they are decoded.
fn bytes_of((width, height): (u32, u32)) -> usize {
    width as usize * height as usize * PIXEL
}

/// The first `bytes` of a memory that grows where it has to, and never shrinks: what it holds is about to be
/// overwritten, and filling it up for every picture would cost time.
fn at_least(memory: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    if memory.len() < bytes {
        memory.resize(bytes, 0);
    }
    &mut memory[..bytes]
}

/// Turns the inks of a file for print into RGB in place, and leaves black as the byte without meaning.
///
/// Such files store the inks inverted (Adobe's convention, which Pillow assumes too): 255 is no
/// ink. What is left of the light is then the product of a colour's share and that of black.
fn print_to_rgb(pixels: &mut [u8]) {
    for [colours @ .., black] in pixels.as_chunks_mut::<PIXEL>().0 {
        let black = u32::from(*black);
        for colour in colours {
            *colour = (black - times(255 - u32::from(*colour), black)) as u8;
        }
    }
}

/// a·b/255, rounded, without dividing: the way in which Pillow does it.
fn times(a: u32, b: u32) -> u32 {
    let product = a * b + 128;
    ((product >> 8) + product) >> 8
}
