//! A JPEG (or a PNG that is taken for one): training's decoder and preparation's agree with each
//! other, a window is what the whole picture has there, both Huffman decoders give the same,
//! and no file leaves anything behind for the next one.

use std::sync::LazyLock;

use lcsl_data::decode::header::Header;
use lcsl_data::decode::libjpeg::{Exactness, HuffmanDecoder};
use lcsl_data::decode::resize::Mirror;
use lcsl_data::decode::{DecodeLimits, Decoder, Window};
use lcsl_data::images::Shape;
use lcsl_data::prepare::image::{RgbImage, StorageSettings, decode, decoder, jpeg_size, store};
use lcsl_data::random::{Purpose, Stream};
use lcsl_data::shard::RecordForm;

/// Small enough for thousands of pictures a second.
const LIMITS: DecodeLimits = DecodeLimits { bytes: 1 << 16, pixels: 1 << 14 };

/// A good picture of 3 by 151 pixels, and what it decodes to where nothing was decoded before.
const GOOD: &[u8] = include_bytes!("../../tests/golden/jpeg/narrow.jpg");
static GOOD_PIXELS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut decoder = Decoder::new(LIMITS, Exactness::Exact);
    decoder.whole(GOOD).expect("a good picture is decoded").0.to_vec()
});

const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Decodes `bytes` in every way that training and preparation have.
pub fn run(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(LIMITS, Exactness::Exact);
    let whole = decoder.whole(bytes).ok().map(|(pixels, width, height)| {
        assert_eq!(pixels.len() as u64, u64::from(width) * u64::from(height) * 3);
        assert!(u64::from(width) * u64::from(height) <= LIMITS.pixels);
        let header = Header::read(bytes).expect("the header of a picture that is decoded");
        assert_eq!((header.width, header.height), (width, height));
        RgbImage { width, height, pixels: pixels.to_vec() }
    });
    let mut library = Decoder::with(LIMITS, Exactness::Exact, HuffmanDecoder::Libjpeg);
    let by_library = library.whole(bytes).map(|(pixels, ..)| pixels.to_vec());
    let by_us = decoder.whole(bytes).map(|(pixels, ..)| pixels.to_vec());
    assert!(by_us == by_library, "other pixels, or other words, than the library's");
    let mut stream = Stream::new(u64::from(crc32c::crc32c(bytes)), Purpose::Synthetic, 0, 0, 0);
    window_as_it_is(&mut decoder, bytes, whole.as_ref(), &mut stream);
    window_resized(bytes, &mut stream);

    let (pixels, ..) = decoder.whole(GOOD).expect("a good picture is decoded");
    assert!(pixels == *GOOD_PIXELS, "something was left behind");
    preparation(bytes, whole.as_ref()) || whole.is_some()
}

/// A window that is not resized has the pixels of the whole picture, in the same place.
fn window_as_it_is(
    decoder: &mut Decoder,
    bytes: &[u8],
    whole: Option<&RgbImage>,
    stream: &mut Stream,
) {
    let Ok(header) = Header::read(bytes) else { return };
    if header.pixels() > LIMITS.pixels {
        return;
    }
    let window = any_window(header.width, header.height, stream);
    let shape = Shape { width: window.width as usize, height: window.height as usize, channels: 3 };
    let mut target = vec![0; shape.bytes()];
    let choose = |width: u32, height: u32| {
        assert_eq!((width, height), (header.width, header.height));
        (window, Mirror::No)
    };
    let decoded = decoder.window(bytes, choose, shape, &mut target);
    let Some(whole) = whole else { return };
    decoded.expect("a window of a whole picture is decoded");
    for (row, found) in target.chunks_exact(shape.width * 3).enumerate() {
        let at = (window.top as usize + row) * whole.width as usize + window.left as usize;
        let expected = &whole.pixels[at * 3..][..found.len()];
        assert!(found == expected, "{window:?} differs in row {row}: {found:?}, not {expected:?}");
    }
}

/// A window that is made smaller, perhaps with the less exact transform.
fn window_resized(bytes: &[u8], stream: &mut Stream) {
    let fast = stream.unit() < 0.5;
    let exactness = if fast { Exactness::Fast } else { Exactness::Exact };
    let shape = Shape { width: 7, height: 5, channels: 3 };
    let mut target = vec![0; shape.bytes()];
    let choose = |width: u32, height: u32| (any_window(width, height, stream), Mirror::Yes);
    let _ = Decoder::new(LIMITS, exactness).window(bytes, choose, shape, &mut target);
}

fn any_window(width: u32, height: u32, stream: &mut Stream) -> Window {
    let mut below = |limit: u32| stream.below(u64::from(limit)) as u32;
    let (left, top) = (below(width), below(height));
    Window { left, top, width: 1 + below(width - left), height: 1 + below(height - top) }
}

/// What `lcsl data prepare` and `lcsl data index` do with the file.
fn preparation(bytes: &[u8], whole: Option<&RgbImage>) -> bool {
    let is_png = bytes.starts_with(PNG_MAGIC);
    let size = if is_png { png_size(bytes) } else { jpeg_size(bytes).ok() };
    // Preparation accepts larger images than the fuzzer's memory allows, so these are skipped here.
    let Some((width, height)) =
        size.filter(|&(width, height)| u64::from(width) * u64::from(height) <= LIMITS.pixels)
    else {
        return false;
    };
    let decoded = decode(bytes).ok();
    if let Some(rgb) = &decoded {
        assert_eq!((rgb.width, rgb.height), (width, height));
        assert_eq!(rgb.pixels.len() as u64, u64::from(width) * u64::from(height) * 3);
        if let Some(whole) = whole {
            assert!(rgb == whole, "preparation and training see different pictures");
        }
    }
    let settings =
        StorageSettings { form: RecordForm::Jpeg, max_side: Some(12), quality: 80, decode: false };
    let mut decoder = decoder();
    if let Ok(stored) = store(bytes.to_vec(), &settings, &mut decoder) {
        assert!(stored.width.max(stored.height) <= 12);
        assert_eq!(jpeg_size(&stored.bytes), Ok((stored.width, stored.height)));
    }
    let settings = StorageSettings { form: RecordForm::Raw { side: 5 }, ..settings };
    let raw = store(bytes.to_vec(), &settings, &mut decoder);
    assert_eq!(raw.is_ok(), decoded.is_some());
    assert!(raw.is_ok_and(|raw| raw.bytes.len() == 5 * 5 * 3) == decoded.is_some());
    decoded.is_some()
}

/// Columns and rows in the first chunk of a PNG.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    number(16).zip(number(20))
}
