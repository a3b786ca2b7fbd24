//! Images that are neither JPEG nor PNG, as the crate `image` reads them: GIF (the first picture), WebP, BMP,
//! TIFF (the first page) and PNM.
//!
//! Its decoders meet files from anywhere, and a few of those for TIFF make it panic: such a file is
//! refused like any other that is damaged, and nothing reaches the terminal.

use std::cell::Cell;
use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use image::{ColorType, DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader};

use super::image::{Decoded, PIXELS_MAX, RgbImage, plain_words, too_many};

/// Bytes that a decoder may take for one image.
const MEMORY_MAX: u64 = 1 << 30;

/// Decodes the image in `file`; `None` where it is of none of these kinds.
pub(super) fn decode(file: &[u8]) -> Option<Result<Decoded, String>> {
    let (format, name) = match image::guess_format(file).ok()? {
        format @ ImageFormat::Gif => (format, "GIF"),
        format @ ImageFormat::WebP => (format, "WebP"),
        format @ ImageFormat::Bmp => (format, "BMP"),
        format @ ImageFormat::Tiff => (format, "TIFF"),
        format @ ImageFormat::Pnm => (format, "PNM"),
        _ => return None,
    };
    let decoded = without_panic(|| decode_as(file, format, name));
    Some(decoded.unwrap_or_else(|| Err(format!("is a damaged {name}: its decoder gave up"))))
}

fn decode_as(file: &[u8], format: ImageFormat, name: &str) -> Result<Decoded, String> {
    let failed = |error: ImageError| words(name, &error);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MEMORY_MAX);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 || u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(too_many(width.into(), height.into()));
    }
    let is_deep = match decoder.color_type() {
        ColorType::Rgb32F | ColorType::Rgba32F => {
            return Err(format!("is a {name} of floating-point numbers, of unknown range"));
        }
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => true,
        _ => false,
    };
    // Transparency is dropped, as Pillow's conversion to RGB drops it.
    let pixels = DynamicImage::from_decoder(decoder).map_err(failed)?.into_rgb8().into_raw();
    Ok(Decoded { rgb: RgbImage { width, height, pixels }, is_deep, extraneous_bytes: 0 })
}

/// What is wrong, in words that go on after a file's name.
fn words(name: &str, error: &ImageError) -> String {
    let cause = |error: &dyn std::error::Error| plain_words(&error.to_string());
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            format!("is a damaged {name}: it ends early")
        }
        ImageError::Decoding(error) => {
            let source = std::error::Error::source(error);
            format!("is a damaged {name}: {}", source.map_or_else(|| cause(error), cause))
        }
        ImageError::Unsupported(error) => {
            format!("is a {name} of a kind that is not read: {}", cause(error))
        }
        ImageError::Limits(_) => format!("is a {name} that takes too much memory"),
        other => format!("is a damaged {name}: {}", cause(other)),
    }
}

thread_local! {
    /// Whether a panic of this thread is expected, and its words are of no use to anyone.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` where it panicked.
fn without_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                before(info);
            }
        }));
    });
    IS_QUIET.set(true);
    // What the decoder leaves behind is never looked at again.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(false);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: 4 of the 87 files of a public collection of TIFFs made the decoder panic.
    #[test]
    fn a_panic_of_a_decoder_is_an_image_that_cannot_be_read() {
        assert_eq!(without_panic(|| 3), Some(3));
        let empty: [u8; 0] = [];
        assert_eq!(without_panic(|| empty[std::hint::black_box(2)]), None);
        assert!(!IS_QUIET.get());
    }

    #[test]
    fn what_is_none_of_these_is_left_to_others() {
        for file in [&b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n", b"<html>", b""] {
            assert!(decode(file).is_none());
        }
        let error = decode(b"P6 2 2 255\nabc").unwrap().unwrap_err();
        assert!(error.starts_with("is a damaged PNM"), "{error}");
    }
}
