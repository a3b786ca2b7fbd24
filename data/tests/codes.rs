//! Both Huffman decoders give the same pixels, and the same words where there are none.

use std::path::PathBuf;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use lcsl_data::decode::libjpeg::{Exactness, HuffmanDecoder};
use lcsl_data::decode::resize::Mirror;
use lcsl_data::decode::{DecodeLimits, Decoder, ImageError, Window};
use lcsl_data::images::Shape;
use lcsl_data::random::{Purpose, Stream};
use proptest::prelude::*;
use turbojpeg::{Compressor, PixelFormat, Subsamp};

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn decoder(huffman: HuffmanDecoder) -> Decoder {
    Decoder::with(DecodeLimits::default(), Exactness::Exact, huffman)
}

fn whole(decoder: &mut Decoder, jpeg: &[u8]) -> Result<Vec<u8>, ImageError> {
    decoder.whole(jpeg).map(|(pixels, ..)| pixels.to_vec())
}

fn window(decoder: &mut Decoder, jpeg: &[u8], place: [u32; 4]) -> Result<Vec<u8>, ImageError> {
    let shape = Shape { width: 9, height: 7, channels: 3 };
    let mut pixels = vec![0; shape.bytes()];
    let choose = |columns: u32, rows: u32| {
        let (left, top) = (place[0] % columns, place[1] % rows);
        let (width, height) = (1 + place[2] % (columns - left), 1 + place[3] % (rows - top));
        (Window { left, top, width, height }, Mirror::No)
    };
    decoder.window(jpeg, choose, shape, &mut pixels).map(|()| pixels)
}

/// Ordinary files are read fast, others by libjpeg-turbo: each of these is known to be one or the other.
#[test]
fn ordinary_files_are_read_fast() {
    let files = [
        ("420.jpg", 1),
        ("422.jpg", 1),
        ("444.jpg", 1),
        ("cmyk.jpg", 1),
        ("grey.jpg", 1),
        ("keep_rgb.jpg", 1),
        ("large.jpg", 1),
        ("narrow.jpg", 1),
        ("progressive.jpg", 0),
        ("restarts.jpg", 1),
        ("tiny.jpg", 1),
        ("turned.jpg", 1),
    ];
    for (file, expected) in files {
        let (mut here, mut library) =
            (decoder(HuffmanDecoder::Fast), decoder(HuffmanDecoder::Libjpeg));
        let jpeg = golden(file);
        let pixels = whole(&mut here, &jpeg).expect(file);
        assert!(whole(&mut library, &jpeg) == Ok(pixels), "{file}");
        assert_eq!(
            (here.pictures_read_fast(), library.pictures_read_fast()),
            (expected, 0),
            "{file}"
        );
    }
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    sampling: SamplingFactor,
    colour: ColorType,
    quality: u8,
    has_own_tables: bool,
    interval: u16,
    noise: f64,
}

fn kinds() -> impl Strategy<Value = Kind> {
    let samplings = [
        SamplingFactor::R_4_2_0,
        SamplingFactor::R_4_2_2,
        SamplingFactor::R_4_4_4,
        SamplingFactor::R_4_4_0,
        SamplingFactor::R_4_1_1,
        SamplingFactor::R_4_1_0,
    ];
    let colours = [ColorType::Rgb, ColorType::Rgb, ColorType::Luma, ColorType::Cmyk];
    (
        prop::sample::select(samplings.to_vec()),
        prop::sample::select(colours.to_vec()),
        1_u8..=100,
        any::<bool>(),
        prop_oneof![Just(0), 1_u16..40],
        prop::sample::select(&[0.0, 20.0, 255.0][..]),
    )
        .prop_map(|(sampling, colour, quality, has_own_tables, interval, noise)| Kind {
            sampling,
            colour,
            quality,
            has_own_tables,
            interval,
            noise,
        })
}

fn encode((width, height): (u16, u16), seed: u64, kind: Kind) -> Vec<u8> {
    let mut stream = Stream::new(seed, Purpose::Synthetic, 0, 0, 0);
    let samples = match kind.colour {
        ColorType::Luma => 1,
        ColorType::Rgb => 3,
        _ => 4,
    };
    let mut pixels = Vec::new();
    for row in 0..usize::from(height) {
        for at in 0..usize::from(width) * samples {
            let ramp = (row * 3 + at * 2) as f64 % 256.0;
            pixels.push((ramp + kind.noise * (stream.unit() - 0.5)).clamp(0.0, 255.0) as u8);
        }
    }
    if kind.has_own_tables {
        return encode_with_own_tables((width, height), &pixels, kind);
    }
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, kind.quality);
    encoder.set_sampling_factor(kind.sampling);
    if kind.interval > 0 {
        encoder.set_restart_interval(kind.interval);
    }
    encoder.encode(&pixels, width, height, kind.colour).expect("a good picture");
    jpeg
}

/// Tables that hold what the picture needs. (The encoder above would write a scan for each component.)
fn encode_with_own_tables((width, height): (u16, u16), pixels: &[u8], kind: Kind) -> Vec<u8> {
    let (width, height) = (usize::from(width), usize::from(height));
    let (format, samples) = match kind.colour {
        ColorType::Luma => (PixelFormat::GRAY, 1),
        ColorType::Rgb => (PixelFormat::RGB, 3),
        _ => (PixelFormat::CMYK, 4),
    };
    let subsampling = match (kind.colour, kind.sampling) {
        (ColorType::Luma, _) => Subsamp::Gray,
        (_, SamplingFactor::R_4_2_0) => Subsamp::Sub2x2,
        (_, SamplingFactor::R_4_2_2) => Subsamp::Sub2x1,
        (_, SamplingFactor::R_4_4_0) => Subsamp::Sub1x2,
        (_, SamplingFactor::R_4_1_1) => Subsamp::Sub4x1,
        _ => Subsamp::None,
    };
    let image = turbojpeg::Image { pixels, width, pitch: width * samples, height, format };
    let mut compressor = Compressor::new().expect("memory");
    compressor.set_quality(i32::from(kind.quality)).expect("a quality");
    compressor.set_subsamp(subsampling).expect("a subsampling");
    compressor.set_optimize(true).expect("a switch");
    compressor.compress_to_vec(image).expect("a good picture")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn pixels_do_not_depend_on_who_reads_the_codes(
        kind in kinds(), size in (1_u16..200, 1_u16..200), seed: u64,
        places in prop::collection::vec(any::<[u32; 4]>(), 1..6),
    ) {
        let jpeg = encode(size, seed, kind);
        let (mut here, mut library) = (decoder(HuffmanDecoder::Fast), decoder(HuffmanDecoder::Libjpeg));
        prop_assert!(whole(&mut here, &jpeg) == whole(&mut library, &jpeg));
        for &place in &places {
            let (here, library) = (&mut here, &mut library);
            prop_assert_eq!(window(here, &jpeg, place), window(library, &jpeg, place));
        }
        // This encoder ends some grey pictures with a restart marker too many.
        // Where it samples by four, it writes a scan for each component.
        let is_ordinary = kind.has_own_tables
            || kind.interval == 0
                && !matches!(kind.sampling, SamplingFactor::R_4_1_1 | SamplingFactor::R_4_1_0);
        prop_assert!(!is_ordinary || here.pictures_read_fast() == 1 + places.len() as u64);
    }

    /// A damaged file has the library's pixels, if it has any, or its words.
    #[test]
    fn damage_is_judged_by_the_library(
        kind in kinds(), size in (1_u16..100, 1_u16..100), seed: u64,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<[prop::sample::Index; 2]>()),
        in_header: bool,
        place: [u32; 4],
    ) {
        let mut jpeg = encode(size, seed, kind);
        for (place, value) in damage {
            let limit = if in_header { jpeg.len().min(700) } else { jpeg.len() };
            jpeg[place.index(limit)] = value;
        }
        if let Some([from, length]) = cut {
            let from = from.index(jpeg.len());
            let length = length.index(jpeg.len() - from);
            jpeg.drain(from..from + length);
        }
        let (mut here, mut library) = (decoder(HuffmanDecoder::Fast), decoder(HuffmanDecoder::Libjpeg));
        prop_assert_eq!(window(&mut here, &jpeg, place), window(&mut library, &jpeg, place));
        prop_assert!(whole(&mut here, &jpeg) == whole(&mut library, &jpeg));
    }
}
