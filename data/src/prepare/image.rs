//! An image as it comes, made into what is stored.
//!
//! Stored as it is wherever possible: a JPEG keeps its bytes, whatever its colours, unless it is
//! larger than asked for. What has to be made anew (a PNG, an image that is too large, raw pixels)
//! is decoded here, and a picture that came without loss keeps all of its colours; EXIF orientation
//! is ignored, as training does.

use lcsl_text::counted;
use turbojpeg::{PixelFormat, Subsamp};

use crate::decode::decoder::WholePicture;
use crate::decode::libjpeg::Exactness;
use crate::decode::{DecodeLimits, Decoder, ImageError};
use crate::shard::RecordForm;
use crate::shard::record::FLAG_ENCODED_AGAIN;

/// An image announces at most this many pixels; a larger one is taken for a decompression bomb.
pub const PIXELS_MAX: u64 = 178_956_970;

pub(crate) const JPEG_MAGIC: [u8; 2] = [0xff, 0xd8];
const PNG_MAGIC: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
/// Cameras put a few bytes behind the end of an image.
const END_MARKER_WITHIN: usize = 4096;

/// What is stored of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// Compressed or raw.
    pub form: RecordForm,
    /// The longest side of a compressed image.
    pub max_side: Option<u32>,
    /// Quality of JPEGs that are encoded here.
    pub quality: u8,
    /// Whether a JPEG whose bytes are kept is decoded all the same, to see whether training could.
    pub decode: bool,
}

/// An image, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Flags of its record.
    pub flags: u16,
    /// Whether it came with more than 8 bits for each channel.
    pub was_deep: bool,
    /// Bytes of a JPEG that belong to no pixel ([`Decoder::extraneous_bytes`]), where it was decoded.
    pub extraneous_bytes: u64,
}

/// Pixels as they were decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) rgb: RgbImage,
    /// Whether the file has more than 8 bits for each channel.
    pub(super) is_deep: bool,
    /// Bytes of a JPEG that belong to no pixel.
    pub(super) extraneous_bytes: u64,
}

/// How much of the colours a JPEG keeps that is encoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// All of it (4:4:4): for pictures that come from files without loss, such as drawings in PNG.
    Full,
    /// A quarter (4:2:0), as cameras do.
    Quarter,
}

/// Pixels in rows of `width`, three bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels, above 0.
    pub width: u32,
    /// Height in pixels, above 0.
    pub height: u32,
    /// The bytes.
    pub pixels: Vec<u8>,
}

/// Makes a file's bytes into what is stored: a JPEG, a PNG or, with the feature `more_formats`, any other
/// kind that torchvision's `ImageFolder` takes. What the file holds decides, not what it is called. `decoder` is
/// one of [`decoder()`], and each thread has its own.
///
/// # Errors
/// In words that go on after the file's name: not an image, damaged, cut off, too large.
pub fn store(
    file: Vec<u8>,
    encoding: &StorageSettings,
    decoder: &mut Decoder,
) -> Result<Stored, String> {
    if file.is_empty() {
        return Err("is empty".to_owned());
    }
    let is_jpeg = file.starts_with(&JPEG_MAGIC);
    if !is_jpeg || encoding.form != RecordForm::Jpeg {
        let Decoded { rgb, is_deep, extraneous_bytes } = decode_any(&file)?;
        let chroma = if is_jpeg { Chroma::Quarter } else { Chroma::Full };
        let stored = store_pixels(&rgb, chroma, encoding)?;
        return Ok(Stored { was_deep: is_deep, extraneous_bytes, ..stored });
    }
    let (width, height) = decoder.size(&file).map_err(words)?;
    if encoding.max_side.is_some_and(|side| width.max(height) > side) {
        let Decoded { rgb, extraneous_bytes, .. } = decode_jpeg(&file)?;
        let stored = store_pixels(&rgb, Chroma::Quarter, encoding)?;
        return Ok(Stored { extraneous_bytes, ..stored });
    }
    let mut extraneous_bytes = 0;
    let tail = &file[file.len().saturating_sub(END_MARKER_WITHIN)..];
    if encoding.decode || !tail.windows(2).any(|pair| pair == [0xff, 0xd9]) {
        // Where the last end lies far before that of the file, decoding says whether it is one of the picture.
        decoder.whole(&file).map_err(words)?;
        extraneous_bytes = decoder.extraneous_bytes();
    }
    Ok(Stored { bytes: file, width, height, flags: 0, was_deep: false, extraneous_bytes })
}

/// Makes pixels into what is stored.
///
/// # Errors
/// When the encoder fails.
pub fn store_pixels(
    rgb: &RgbImage,
    chroma: Chroma,
    encoding: &StorageSettings,
) -> Result<Stored, String> {
    let stored = |bytes, width, height| Stored {
        bytes,
        width,
        height,
        flags: FLAG_ENCODED_AGAIN,
        was_deep: false,
        extraneous_bytes: 0,
    };
    match encoding.form {
        RecordForm::Raw { side } => {
            let bytes = resize(rgb, side, side)?.pixels;
            Ok(stored(bytes, side, side))
        }
        RecordForm::Jpeg => {
            let longest = rgb.width.max(rgb.height);
            let smaller = match encoding.max_side {
                Some(side) if longest > side => {
                    let scaled = |length: u32| {
                        let product = u64::from(length) * u64::from(side);
                        ((product + u64::from(longest) / 2) / u64::from(longest)).max(1) as u32
                    };
                    Some(resize(rgb, scaled(rgb.width), scaled(rgb.height))?)
                }
                _ => None,
            };
            let rgb = smaller.as_ref().unwrap_or(rgb);
            let bytes = encode_with(rgb, encoding.quality, chroma)?;
            Ok(stored(bytes, rgb.width, rgb.height))
        }
    }
}

/// Decodes an image of any kind that is stored.
///
/// # Errors
/// As for [`store`].
pub fn decode(file: &[u8]) -> Result<RgbImage, String> {
    decode_any(file).map(|decoded| decoded.rgb)
}

/// Decodes what is stored of an image, only to see whether training could; returns how many bytes of it belong to
/// no pixel.
///
/// # Errors
/// As for [`store`].
pub fn check(stored: &[u8], decoder: &mut Decoder) -> Result<u64, String> {
    if stored.starts_with(&JPEG_MAGIC) {
        decoder.whole(stored).map_err(words)?;
        return Ok(decoder.extraneous_bytes());
    }
    decode(stored).map(|_| 0)
}

fn decode_any(file: &[u8]) -> Result<Decoded, String> {
    if file.starts_with(&PNG_MAGIC) {
        return decode_png(file);
    }
    #[cfg(feature = "more_formats")]
    if let Some(decoded) = super::formats::decode(file) {
        return decoded;
    }
    decode_jpeg(file)
}

/// Encodes a JPEG with colour at half resolution, as cameras do.
///
/// # Errors
/// When the encoder fails.
pub fn encode(rgb: &RgbImage, quality: u8) -> Result<Vec<u8>, String> {
    encode_with(rgb, quality, Chroma::Quarter)
}

fn encode_with(rgb: &RgbImage, quality: u8, chroma: Chroma) -> Result<Vec<u8>, String> {
    let subsampling = match chroma {
        Chroma::Full => Subsamp::None,
        Chroma::Quarter => Subsamp::Sub2x2,
    };
    let (width, height) = (rgb.width as usize, rgb.height as usize);
    let pixels = rgb.pixels.as_slice();
    let image =
        turbojpeg::Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB };
    let encoded = turbojpeg::compress(image, i32::from(quality), subsampling);
    encoded.map(|bytes| bytes.to_vec()).map_err(|error| format!("cannot be encoded: {error}"))
}

/// Cuts the middle of the wanted shape and resizes it, with a triangle filter as wide as the
/// pixels that it joins: what torchvision's and Pillow's bilinear resizing does.
pub fn resize(rgb: &RgbImage, width: u32, height: u32) -> Result<RgbImage, String> {
    let mut pixels = vec![0; width as usize * height as usize * 3];
    lcsl_resample::fitted_rgb((rgb.width, rgb.height), &rgb.pixels, (width, height), &mut pixels)
        .map_err(|error| format!("cannot be resized: {error}"))?;
    Ok(RgbImage { width, height, pixels })
}

/// Width and height of a JPEG.
///
/// # Errors
/// When it is none, or a damaged one, or announces more than [`PIXELS_MAX`].
pub fn jpeg_size(file: &[u8]) -> Result<(u32, u32), String> {
    decoder().size(file).map_err(words)
}

/// A decoder for training's pixels, with the limits of preparation.
pub fn decoder() -> Decoder {
    let limits = DecodeLimits { bytes: usize::MAX, pixels: PIXELS_MAX };
    Decoder::new(limits, Exactness::Exact)
}

/// What is wrong, in words that go on after a file's name.
pub(crate) fn words(error: ImageError) -> String {
    match error {
        ImageError::Empty => "is empty".to_owned(),
        ImageError::NotJpeg { found: "something else" } => {
            "is none of the kinds of images that are read".to_owned()
        }
        ImageError::NotJpeg { found } => format!("is {found}, which is not read"),
        ImageError::TooManyPixels { width, height, .. } => too_many(width.into(), height.into()),
        ImageError::Truncated { bytes } => {
            format!("is a damaged JPEG: {bytes} bytes without an end marker")
        }
        ImageError::Corrupt { message } => format!("is a damaged JPEG: {message}"),
        other => format!("cannot be read: {other}"),
    }
}

/// What is doubtful about a JPEG with bytes that belong to no pixel, in words that go on after its name.
pub fn doubt(extraneous_bytes: u64) -> String {
    let bytes = counted(extraneous_bytes, "byte");
    format!("has {bytes} too many behind its last pixel, as a JPEG with damaged bytes may")
}

pub(super) fn too_many(width: u64, height: u64) -> String {
    format!("announces {width} by {height} pixels")
}

fn bounded(width: u64, height: u64) -> Result<(u32, u32), String> {
    if width == 0 || height == 0 || width.saturating_mul(height) > PIXELS_MAX {
        return Err(too_many(width, height));
    }
    Ok((width as u32, height as u32))
}

fn decode_jpeg(file: &[u8]) -> Result<Decoded, String> {
    let WholePicture { pixels, width, height, extraneous_bytes } =
        decoder().into_whole(file).map_err(words)?;
    Ok(Decoded { rgb: RgbImage { width, height, pixels }, is_deep: false, extraneous_bytes })
}

fn decode_png(file: &[u8]) -> Result<Decoded, String> {
    let damaged = |error: png::DecodingError| {
        format!("is a damaged PNG: {}", plain_words(&error.to_string()))
    };
    let mut decoder =
        png::Decoder::new_with_limits(std::io::Cursor::new(file), png::Limits { bytes: 1 << 30 });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height) = bounded(u64::from(reader.info().width), u64::from(reader.info().height))?;
    let is_deep = reader.info().bit_depth == png::BitDepth::Sixteen;
    let bytes = reader.output_buffer_size().ok_or("announces too many pixels")?;
    let mut pixels = vec![0; bytes];
    let frame = reader.next_frame(&mut pixels).map_err(damaged)?;
    pixels.truncate(frame.buffer_size());
    // Transparency is dropped, as Pillow's conversion to RGB drops it.
    let pixels = match frame.color_type {
        png::ColorType::Rgb => pixels,
        png::ColorType::Rgba => {
            pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
        }
        png::ColorType::Grayscale => pixels.into_iter().flat_map(|grey| [grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => {
            pixels.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect()
        }
        png::ColorType::Indexed => return Err("is a PNG with a palette that is missing".to_owned()),
    };
    Ok(Decoded { rgb: RgbImage { width, height, pixels }, is_deep, extraneous_bytes: 0 })
}

/// The words of a decoder without what is meant for programmers: `ChunkType { type: IDAT, … }` is `IDAT`.
pub(super) fn plain_words(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(" { ") {
        let Some((inner, behind)) = after.split_once(" }") else { break };
        let word = before.rfind(' ').map_or(0, |space| space + 1);
        plain.push_str(&before[..word]);
        let value = inner.split(", ").next().and_then(|field| field.split_once(": "));
        plain.push_str(value.map_or("", |(_, value)| value));
        rest = behind;
    }
    plain.push_str(rest);
    plain.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_decoders_are_said_without_their_debug_prints() {
        let said = "bad CRC in ChunkType { type: IDAT, critical: true } chunk\nand more";
        assert_eq!(plain_words(said), "bad CRC in IDAT chunk and more");
        assert_eq!(plain_words("all is well"), "all is well");
        assert_eq!(plain_words("an open { brace"), "an open { brace");
    }
}
