//! An image as it comes, made into what is stored.
//!
//! Stored as it is wherever possible: a JPEG keeps its bytes, whatever its colours, unless it is
//! larger than asked for. What has to be made anew (a PNG, an image that is too large, raw pixels)
//! is decoded here; EXIF orientation is ignored, as training does.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use turbojpeg::{PixelFormat, Subsamp};

use crate::decode::libjpeg::Exactness;
use crate::decode::{DecodeLimits, Decoder, ImageError};
use crate::shard::RecordForm;
use crate::shard::record::FLAG_ENCODED_AGAIN;

/// An image announces at most this many pixels; a larger one is taken for a decompression bomb.
pub const PIXELS_MAX: u64 = 178_956_970;

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

/// Makes a JPEG or PNG file's bytes into what is stored.
///
/// # Errors
/// In words that go on after the file's name: not an image, damaged, cut off, too large.
pub fn store(file: Vec<u8>, encoding: &StorageSettings) -> Result<Stored, String> {
    if file.is_empty() {
        return Err("is empty".to_owned());
    }
    let is_png = file.starts_with(&PNG_MAGIC);
    let RecordForm::Jpeg = encoding.form else {
        return store_pixels(&decode(&file)?, encoding);
    };
    if is_png {
        return store_pixels(&decode(&file)?, encoding);
    }
    let (width, height) = jpeg_size(&file)?;
    if encoding.max_side.is_some_and(|side| width.max(height) > side) {
        return store_pixels(&decode(&file)?, encoding);
    }
    let tail = &file[file.len().saturating_sub(END_MARKER_WITHIN)..];
    if !tail.windows(2).any(|pair| pair == [0xff, 0xd9]) {
        // The last end lies far before that of the file: decoding says whether it is one of the picture.
        decode(&file)?;
    }
    Ok(Stored { bytes: file, width, height, flags: 0 })
}

/// Makes pixels into what is stored.
///
/// # Errors
/// When the encoder fails.
pub fn store_pixels(rgb: &RgbImage, encoding: &StorageSettings) -> Result<Stored, String> {
    match encoding.form {
        RecordForm::Raw { side } => {
            let bytes = resize(rgb, side, side)?.pixels;
            Ok(Stored { bytes, width: side, height: side, flags: FLAG_ENCODED_AGAIN })
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
            let bytes = encode(rgb, encoding.quality)?;
            Ok(Stored { bytes, width: rgb.width, height: rgb.height, flags: FLAG_ENCODED_AGAIN })
        }
    }
}

/// Decodes a JPEG or PNG.
///
/// # Errors
/// As for [`store`].
pub fn decode(file: &[u8]) -> Result<RgbImage, String> {
    if file.starts_with(&PNG_MAGIC) { decode_png(file) } else { decode_jpeg(file) }
}

/// Encodes a JPEG with colour at half resolution, as cameras do.
///
/// # Errors
/// When the encoder fails.
pub fn encode(rgb: &RgbImage, quality: u8) -> Result<Vec<u8>, String> {
    let (width, height) = (rgb.width as usize, rgb.height as usize);
    let pixels = rgb.pixels.as_slice();
    let image =
        turbojpeg::Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB };
    let encoded = turbojpeg::compress(image, i32::from(quality), Subsamp::Sub2x2);
    encoded.map(|bytes| bytes.to_vec()).map_err(|error| format!("cannot be encoded: {error}"))
}

/// Cuts the middle of the wanted shape and resizes it, with a triangle filter as wide as the
/// pixels that it joins: what torchvision's and Pillow's bilinear resizing does.
pub fn resize(rgb: &RgbImage, width: u32, height: u32) -> Result<RgbImage, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot be resized: {error}");
    let source = TypedImageRef::<U8x3>::from_buffer(rgb.width, rgb.height, &rgb.pixels)
        .map_err(|error| failed(&error))?;
    // All of it, in the type in which `decode::resize` has windows: the resizer is compiled once.
    let source = TypedCroppedImage::from_ref(&source, 0, 0, rgb.width, rgb.height)
        .map_err(|error| failed(&error))?;
    let mut pixels = vec![0; width as usize * height as usize * 3];
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut pixels)
        .map_err(|error| failed(&error))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .fit_into_destination(None);
    // Of one type of pixels: the resizer that takes any would be compiled here for all of them.
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|error| failed(&error))?;
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
fn decoder() -> Decoder {
    let limits = DecodeLimits { bytes: usize::MAX, pixels: PIXELS_MAX };
    Decoder::new(limits, Exactness::Exact)
}

/// What is wrong, in words that go on after a file's name.
fn words(error: ImageError) -> String {
    match error {
        ImageError::Empty => "is empty".to_owned(),
        ImageError::NotJpeg { found } => format!("is neither a JPEG nor a PNG but {found}"),
        ImageError::TooManyPixels { width, height, .. } => too_many(width.into(), height.into()),
        ImageError::Truncated { bytes } => {
            format!("is a damaged JPEG: {bytes} bytes without an end marker")
        }
        ImageError::Corrupt { message } => format!("is a damaged JPEG: {message}"),
        other => format!("cannot be read: {other}"),
    }
}

fn too_many(width: u64, height: u64) -> String {
    format!("announces {width} by {height} pixels")
}

fn bounded(width: u64, height: u64) -> Result<(u32, u32), String> {
    if width == 0 || height == 0 || width.saturating_mul(height) > PIXELS_MAX {
        return Err(too_many(width, height));
    }
    Ok((width as u32, height as u32))
}

fn decode_jpeg(file: &[u8]) -> Result<RgbImage, String> {
    let (pixels, width, height) = decoder().into_whole(file).map_err(words)?;
    Ok(RgbImage { width, height, pixels })
}

fn decode_png(file: &[u8]) -> Result<RgbImage, String> {
    let damaged = |error: png::DecodingError| format!("is a damaged PNG: {error}");
    let mut decoder =
        png::Decoder::new_with_limits(std::io::Cursor::new(file), png::Limits { bytes: 1 << 30 });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height) = bounded(u64::from(reader.info().width), u64::from(reader.info().height))?;
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
    Ok(RgbImage { width, height, pixels })
}
