//! JPEG files in, pixels out: compared with Pillow, with another decoder, and with itself.

use std::path::PathBuf;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use lcsl_data::decode::libjpeg::Exactness;
use lcsl_data::decode::resize::Mirror;
use lcsl_data::decode::{DecodeLimits, Decoder, ImageError, Window};
use lcsl_data::images::Shape;
use lcsl_data::prepare;
use lcsl_data::random::{Purpose, Stream};
use proptest::prelude::*;
use serde_json::Value;

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Mean and 99th percentile of the absolute differences.
fn difference(a: &[u8], b: &[u8]) -> (f64, u8) {
    assert_eq!(a.len(), b.len());
    let mut differences: Vec<u8> = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).collect();
    let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / differences.len() as f64;
    differences.sort_unstable();
    (mean, differences[(differences.len() - 1) * 99 / 100])
}

fn window_of(case: &Value) -> Window {
    let number = |at: usize| case["window"][at].as_u64().expect("a coordinate") as u32;
    Window { left: number(0), top: number(1), width: number(2), height: number(3) }
}

/// Where the picture is decoded at its own size, pixels are Pillow's to one level. Where it is
/// decoded at half its size or less (only `large.jpg` has such windows), the bound is the one that
/// is promised: 2 levels on average, 12 for 99 of 100.
#[test]
fn windows_are_those_of_pillow() {
    let cases: Vec<Value> = serde_json::from_slice(&golden("expected.json")).expect("JSON");
    let rows = golden("expected.rgb");
    let (mut at, mut reduced) = (0, 0);
    let mut decoder = Decoder::default();
    for case in &cases {
        let side = |at: usize| case["size"][at].as_u64().expect("a size") as usize;
        let shape = Shape { width: side(0), height: side(1), channels: 3 };
        let mirror = if case["mirror"] == true { Mirror::Yes } else { Mirror::No };
        let window = window_of(case);
        let jpeg = golden(case["file"].as_str().expect("a file"));
        let mut pixels = vec![9; shape.bytes()];
        decoder.window(&jpeg, |_, _| (window, mirror), shape, &mut pixels).expect("a good file");
        let expected = &rows[at..at + shape.bytes()];
        at += shape.bytes();
        let (mean, p99) = difference(&pixels, expected);
        let target = (shape.width as u32, shape.height as u32);
        if lcsl_data::decode::region::reduction(window, target) > 1 {
            reduced += 1;
            println!("reduced {case}: mean {mean}, p99 {p99}");
            assert!(mean <= 2.0 && p99 <= 12, "{case}: mean {mean}, p99 {p99}");
        } else {
            let most = pixels.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(most <= Some(1), "{case}: at most {most:?}, mean {mean}");
        }
    }
    assert_eq!(at, rows.len());
    assert!(cases.len() > 50 && reduced >= 5, "{reduced} reduced windows");
}

/// A picture with soft and hard edges in all colours.
fn picture(width: u16, height: u16, seed: u64) -> Vec<u8> {
    let mut stream = Stream::new(seed, Purpose::Synthetic, 0, 0, 0);
    // Of each channel: waves per row and column, and the height of the bars.
    let colours: [[f64; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| stream.unit()));
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (f64::from(x), f64::from(y));
            let bar = f64::from(u8::from((x / 13 + y / 7) % 3 == 0));
            for [across, down, height] in colours {
                let wave = (u * across * 0.4 + v * down * 0.3).sin();
                let value = 128.0 + 70.0 * wave + 50.0 * (height - 0.5) * bar;
                pixels.push((value + 6.0 * stream.unit()).clamp(0.0, 255.0) as u8);
            }
        }
    }
    pixels
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    sampling: SamplingFactor,
    progressive: bool,
    colour: ColorType,
    quality: u8,
}

fn encode(pixels: &[u8], width: u16, height: u16, kind: Kind) -> Vec<u8> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, kind.quality);
    encoder.set_sampling_factor(kind.sampling);
    encoder.set_progressive(kind.progressive);
    let grey: Vec<u8>;
    let pixels = if matches!(kind.colour, ColorType::Luma) {
        grey = pixels.iter().copied().step_by(3).collect();
        &grey
    } else {
        pixels
    };
    encoder.encode(pixels, width, height, kind.colour).expect("a good picture");
    jpeg
}

fn kinds() -> impl Strategy<Value = Kind> {
    let samplings = [
        SamplingFactor::R_4_2_0,
        SamplingFactor::R_4_2_2,
        SamplingFactor::R_4_4_4,
        SamplingFactor::R_4_4_0,
        SamplingFactor::R_4_1_1,
        SamplingFactor::R_4_4_1,
        SamplingFactor::R_4_1_0,
    ];
    let colours = [ColorType::Rgb, ColorType::Rgb, ColorType::Rgb, ColorType::Luma];
    let (samplings, colours) = (samplings.to_vec(), colours.to_vec());
    (prop::sample::select(samplings), any::<bool>(), prop::sample::select(colours), 60_u8..=98)
        .prop_map(|(sampling, progressive, colour, quality)| Kind {
            sampling,
            progressive,
            colour,
            quality,
        })
}

/// The last column of a picture of 34, alone in a block of 16: one column of colour was decoded, with
/// nothing beside it to interpolate from, and the library took what lay in its memory.
#[test]
fn a_window_in_the_last_narrow_block_is_cut_from_the_whole_picture() {
    let kind = Kind {
        sampling: SamplingFactor::R_4_2_0,
        progressive: false,
        colour: ColorType::Rgb,
        quality: 60,
    };
    let jpeg = encode(&picture(34, 6, 274), 34, 6, kind);
    let mut decoder = Decoder::default();
    let window = Window { left: 33, top: 0, width: 1, height: 6 };
    let mut cut = vec![9; 6 * 3];
    let shape = Shape { width: 1, height: 6, channels: 3 };
    decoder.window(&jpeg, |_, _| (window, Mirror::No), shape, &mut cut).unwrap();
    let (whole, ..) = decoder.whole(&jpeg).unwrap();
    let column: Vec<u8> =
        whole.chunks_exact(34 * 3).flat_map(|row| row[33 * 3..].to_vec()).collect();
    assert_eq!(cut, column);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// The margin around a region keeps its edges out of the window: not one bit differs.
    #[test]
    fn a_window_is_cut_from_the_whole_picture(
        kind in kinds(), (width, height) in (1_u16..140, 1_u16..140), seed: u64,
        place in any::<[u32; 4]>(),
    ) {
        let jpeg = encode(&picture(width, height, seed), width, height, kind);
        let (w, h) = (u32::from(width), u32::from(height));
        let (left, top) = (place[0] % w, place[1] % h);
        let window = Window {
            left, top, width: 1 + place[2] % (w - left), height: 1 + place[3] % (h - top),
        };
        let mut decoder = Decoder::default();
        let shape =
            Shape { width: window.width as usize, height: window.height as usize, channels: 3 };
        let mut cut = vec![9; shape.bytes()];
        decoder.window(&jpeg, |_, _| (window, Mirror::No), shape, &mut cut).unwrap();
        let (whole, ..) = decoder.whole(&jpeg).unwrap();
        for (row, cut) in cut.chunks_exact(shape.row_bytes()).enumerate() {
            let first = ((top as usize + row) * usize::from(width) + left as usize) * 3;
            prop_assert_eq!(cut, &whole[first..first + cut.len()], "row {}", row);
        }
    }

    /// Another decoder, written in another language by other people. The standard leaves the last
    /// bit of the transform and the interpolation of colours to the decoder.
    #[test]
    fn another_decoder_agrees(
        progressive: bool, grey: bool, quality in 60_u8..=98,
        (width, height) in (1_u16..140, 1_u16..140), seed: u64,
    ) {
        let colour = if grey { ColorType::Luma } else { ColorType::Rgb };
        let kind = Kind { sampling: SamplingFactor::R_4_4_4, progressive, colour, quality };
        let jpeg = encode(&picture(width, height, seed), width, height, kind);
        let mut decoder = Decoder::default();
        let (ours, w, h) = decoder.whole(&jpeg).unwrap();
        prop_assert_eq!((w, h), (u32::from(width), u32::from(height)));
        let options = zune_jpeg::zune_core::options::DecoderOptions::default()
            .jpeg_set_out_colorspace(zune_jpeg::zune_core::colorspace::ColorSpace::RGB);
        let mut theirs = zune_jpeg::JpegDecoder::new_with_options(&jpeg[..], options)
            .decode().expect("a good file");
        if grey {
            theirs = theirs.into_iter().flat_map(|level| [level; 3]).collect();
        }
        let (mean, p99) = difference(ours, &theirs);
        prop_assert!(mean <= 1.0 && p99 <= 3, "mean {}, p99 {}", mean, p99);
    }

    /// Any damage is answered with pixels or with a refusal, and leaves the decoder able to go on.
    /// Once it did not: after an unknown marker in a header the library refused every later file
    /// with the same words, because its handle still stood in the middle of the broken one.
    #[test]
    fn damage_is_survived(
        kind in kinds(), (width, height) in (1_u16..100, 1_u16..100), seed: u64,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::of(any::<prop::sample::Index>()),
        in_header: bool,
    ) {
        let whole = encode(&picture(width, height, seed), width, height, kind);
        let mut jpeg = whole.clone();
        for (place, value) in damage {
            let limit = if in_header { jpeg.len().min(700) } else { jpeg.len() };
            jpeg[place.index(limit)] = value;
        }
        if let Some(cut) = cut {
            jpeg.truncate(cut.index(jpeg.len()));
        }
        let limits = DecodeLimits { bytes: 1 << 20, pixels: 1_000_000 };
        let mut decoder = Decoder::new(limits, Exactness::Exact);
        let shape = Shape { width: 32, height: 32, channels: 3 };
        let mut target = vec![0; shape.bytes()];
        let choose = |w: u32, h: u32| (Window {
            left: w / 3, top: h / 3, width: w - w / 3, height: h - h / 3,
        }, Mirror::Yes);
        let _ = decoder.window(&jpeg, choose, shape, &mut target);
        let _ = decoder.whole(&jpeg).map(|(pixels, w, h)| {
            assert_eq!(pixels.len() as u64, u64::from(w) * u64::from(h) * 3);
        });
        prop_assert_eq!(decoder.window(&whole, choose, shape, &mut target), Ok(()));
    }
}

#[test]
fn a_file_cut_off_is_refused_wherever_the_window_lies() {
    let jpeg = golden("420.jpg");
    let shape = Shape { width: 8, height: 8, channels: 3 };
    let mut target = vec![0; shape.bytes()];
    let top = |_: u32, _: u32| (Window { left: 0, top: 0, width: 8, height: 8 }, Mirror::No);
    let mut decoder = Decoder::default();
    for length in [0, 1, 2, 100, 700, jpeg.len() / 2, jpeg.len() - 1] {
        let refused = decoder.window(&jpeg[..length], top, shape, &mut target);
        assert!(refused.is_err(), "{length} bytes of {}", jpeg.len());
    }
    let with_junk = [&jpeg[..], b"\0\0\0 and what not"].concat();
    assert_eq!(decoder.window(&with_junk, top, shape, &mut target), Ok(()));
}

/// A header that announces 65,500 × 65,500 pixels would take 12 GB.
#[test]
fn a_decompression_bomb_is_refused_before_memory_is_taken() {
    let mut bomb = golden("420.jpg");
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let refused = Decoder::default().whole(&bomb).map(|_| ()).unwrap_err();
    let (width, height, limit) = (65_500, 65_500, 64_000_000);
    assert_eq!(refused, ImageError::TooManyPixels { width, height, limit });
    let limits = DecodeLimits { bytes: 1_000, ..DecodeLimits::default() };
    let refused = Decoder::new(limits, Exactness::Exact).whole(&bomb).map(|_| ()).unwrap_err();
    assert_eq!(refused, ImageError::TooManyBytes { bytes: bomb.len(), limit: 1_000 });
}

#[test]
fn corrupt_pixels_are_refused_with_the_decoders_words() {
    let mut jpeg = golden("444.jpg");
    let middle = jpeg.len() / 2;
    jpeg[middle..middle + 200].fill(0xff);
    let refused = Decoder::default().whole(&jpeg).map(|_| ()).unwrap_err();
    assert!(matches!(refused, ImageError::Corrupt { .. }), "{refused}");
}

/// A header may describe up to ten components, and the sampling of the fifth was looked up among four: a
/// panic, before a pixel was asked for. Found in review.
#[test]
fn a_picture_of_more_components_than_inks_is_refused() {
    for components in 1_u8..=12 {
        let mut jpeg =
            vec![0xff, 0xd8, 0xff, 0xc0, 0, 8 + 3 * components, 8, 0, 8, 0, 8, components];
        jpeg.extend((1..=components).flat_map(|component| [component, 0x11, 0]));
        jpeg.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 7, 7, 7, 0xff, 0xd9]);
        let mut decoder = Decoder::default();
        let _ = decoder.size(&jpeg);
        assert!(decoder.whole(&jpeg).is_err(), "{components} components");
        assert!(prepare::image::decode(&jpeg).is_err(), "{components} components");
    }
}

/// A file whose end is damaged, with `before` put in front of its tables.
fn with_damage(file: &str, before: &[u8], damaged: bool) -> Vec<u8> {
    let mut jpeg = golden(file);
    if damaged {
        let (from, to) = (jpeg.len() * 3 / 4, jpeg.len() - 2);
        jpeg.drain(from..to);
    }
    jpeg.splice(2..2, before.iter().copied());
    jpeg
}

/// libjpeg words the first warning of a file alone. Where that was a harmless one (bytes that stand
/// between two segments of the header, a transform of colours or a version that nobody knows), all
/// that was wrong with the pixels behind it was hidden, and grey rows were trained on. Found by fuzzing.
#[test]
fn a_harmless_warning_hides_no_other() {
    let transform = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07";
    let version = b"\xff\xe0\0\x10JFIF\0\x07\x01\0\0\x01\0\x01\0\0";
    for file in ["420.jpg", "444.jpg", "progressive.jpg", "restarts.jpg"] {
        for before in [&b"junk"[..], transform, version] {
            let mut decoder = Decoder::default();
            let expected = decoder.whole(&golden(file)).unwrap().0.to_vec();
            let (pixels, ..) = decoder.whole(&with_damage(file, before, false)).unwrap();
            assert!(pixels == expected, "{file}: other pixels");

            let damaged = with_damage(file, before, true);
            let refused = decoder.whole(&damaged).map(|_| ()).expect_err(file);
            assert!(matches!(refused, ImageError::Corrupt { .. }), "{file}: {refused}");
            let refused = prepare::image::decode(&damaged).expect_err(file);
            assert!(refused.starts_with("is a damaged JPEG"), "{file}: {refused}");
        }
    }
}

/// Junk before the end of a file costs no pixel. But a decoder that looks for a restart marker there
/// finds junk and the end, and says the same: half of the picture was grey.
#[test]
fn junk_before_the_end_is_harmless_where_nothing_else_is_missing() {
    for file in ["420.jpg", "444.jpg", "progressive.jpg", "restarts.jpg"] {
        let mut jpeg = golden(file);
        let end = jpeg.len() - 2;
        jpeg.splice(end..end, [0; 9]);
        let mut decoder = Decoder::default();
        let expected = decoder.whole(&golden(file)).unwrap().0.to_vec();
        let (pixels, ..) = decoder.whole(&jpeg).expect(file);
        assert!(pixels == expected, "{file}: other pixels");
        assert_eq!(prepare::image::decode(&jpeg).map(|rgb| rgb.pixels), Ok(expected), "{file}");
    }
    let mut jpeg = golden("restarts.jpg");
    let is_restart = |pair: &[u8]| pair[0] == 0xff && (0xd0..=0xd7).contains(&pair[1]);
    let restart = jpeg.windows(2).skip(jpeg.len() / 2).position(is_restart).unwrap();
    let (from, to) = (restart + jpeg.len() / 2, jpeg.len() - 2);
    jpeg.splice(from..to, [0; 9]);
    let refused = Decoder::default().whole(&jpeg).map(|_| ()).unwrap_err();
    assert!(matches!(refused, ImageError::Corrupt { .. }), "{refused}");
    assert!(prepare::image::decode(&jpeg).is_err());
}

/// The last scans of a progressive file were lost, and an end was put behind the others. libjpeg-turbo
/// then guesses what is missing from the blocks around, so the pixels of a region were other ones
/// than the whole picture has there. Found by fuzzing.
#[test]
fn a_window_of_a_picture_without_its_last_scans_is_cut_from_the_whole_picture() {
    let good = golden("progressive.jpg");
    let scans: Vec<usize> =
        (0..good.len() - 1).filter(|&at| good[at..].starts_with(&[0xff, 0xda])).collect();
    let mut decoder = Decoder::default();
    for &scan in &scans[1..] {
        let jpeg = [&good[..scan], &[0xff, 0xd9]].concat();
        let window = Window { left: 90, top: 50, width: 20, height: 20 };
        let shape = Shape { width: 20, height: 20, channels: 3 };
        let mut cut = vec![0; shape.bytes()];
        decoder.window(&jpeg, |_, _| (window, Mirror::No), shape, &mut cut).unwrap();
        let (whole, width, _) = decoder.whole(&jpeg).unwrap();
        for (row, cut) in cut.chunks_exact(shape.row_bytes()).enumerate() {
            let first = ((50 + row) * width as usize + 90) * 3;
            assert_eq!(cut, &whole[first..first + cut.len()], "row {row}, cut at {scan}");
        }
    }
}

/// Frames of a film have no Huffman tables: the standard ones are meant. The library kept those of
/// the file before, so that such a picture depended on what its thread had decoded last. Found by
/// fuzzing.
#[test]
fn tables_of_one_file_are_not_used_for_the_next() {
    let mut bare = golden("grey.jpg");
    while let Some(at) = bare.windows(2).position(|pair| pair == [0xff, 0xc4]) {
        let length = usize::from(u16::from_be_bytes([bare[at + 2], bare[at + 3]]));
        bare.drain(at..at + 2 + length);
    }
    let expected = Decoder::default().whole(&bare).map(|(pixels, ..)| pixels.to_vec());
    for other in ["progressive.jpg", "large.jpg", "tiny.jpg"] {
        let mut decoder = Decoder::default();
        decoder.whole(&with_other_tables(other)).unwrap();
        let found = decoder.whole(&bare).map(|(pixels, ..)| pixels.to_vec());
        assert!(found == expected, "after {other}");
    }
}

/// The file, with Huffman tables behind its last scan that no picture can be read with.
fn with_other_tables(file: &str) -> Vec<u8> {
    let mut jpeg = golden(file);
    let end = jpeg.len() - 2;
    let table = |kind: u8| {
        let mut table = vec![0xff, 0xc4, 0, 20, kind, 1];
        table.extend([0; 16]);
        table
    };
    jpeg.splice(end..end, [table(0), table(0x10)].concat());
    jpeg
}

/// The fast transform is for those who ask for it, and is near.
#[test]
fn fast_is_near_exact() {
    let jpeg = golden("large.jpg");
    let mut fast = Decoder::new(DecodeLimits::default(), Exactness::Fast);
    let mut exact = Decoder::default();
    let (mean, p99) = difference(exact.whole(&jpeg).unwrap().0, fast.whole(&jpeg).unwrap().0);
    assert!(mean > 0.0 && mean < 2.0 && p99 <= 12, "mean {mean}, p99 {p99}");
}
