//! What is stored of images of every kind, and which are refused.

use std::fs;
use std::path::Path;
use std::process::Command;

use lcsl_data::datasets::DatasetId;
use lcsl_data::prepare::PrepareRequest;
use lcsl_data::prepare::image::{RgbImage, decode, encode};
use lcsl_data::shard::record::FLAG_ENCODED_AGAIN;
use lcsl_data::shard::{RecordForm, ShardSet};
use tempfile::{TempDir, tempdir};

use crate::stage::{jpeg, picture, put, refusal, request, run};

/// One class of the given files.
fn stage(files: &[(&str, Vec<u8>)]) -> (TempDir, PrepareRequest) {
    let folder = tempdir().unwrap();
    let mut request =
        request(DatasetId::Folder, &folder.path().join("in"), &folder.path().join("out"));
    request.test_share = Some(0.0);
    for (name, content) in files {
        put(&request.root.join("class").join(name), content);
    }
    (folder, request)
}

fn png(rgb: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, rgb.width, rgb.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&rgb.pixels).unwrap();
    bytes
}

/// ImageNet has one of these.
#[test]
fn a_png_named_jpeg_becomes_a_jpeg() {
    let original = picture(3, 60, 20);
    let (_folder, request) = stage(&[("one.JPEG", png(&original))]);
    run(&request).unwrap();
    let set = ShardSet::open(&request.out.join("train")).unwrap();
    let record = set.record(0).unwrap();
    assert_eq!((record.width, record.height, record.flags), (60, 20, FLAG_ENCODED_AGAIN));
    let bytes = set.bytes(0).unwrap();
    assert!(bytes.starts_with(&[0xff, 0xd8]));
    assert!(difference(&decode(bytes).unwrap(), &original) < 8.0);
}

fn difference(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!((one.width, one.height), (other.width, other.height));
    let pairs = one.pixels.iter().zip(&other.pixels);
    pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / one.pixels.len() as f64
}

#[test]
fn larger_images_are_made_smaller_and_others_keep_their_bytes() {
    let large = encode(&picture(1, 400, 100), 90).unwrap();
    let small = encode(&picture(2, 100, 30), 90).unwrap();
    let (_folder, mut request) = stage(&[("a.jpg", large), ("b.jpg", small.clone())]);
    request.max_side = Some(100);
    run(&request).unwrap();
    let set = ShardSet::open(&request.out.join("train")).unwrap();
    let mut sizes = Vec::new();
    for i in 0..2 {
        let record = set.record(i).unwrap();
        sizes.push((record.width, record.height, record.flags));
        if record.flags == 0 {
            assert_eq!(set.bytes(i).unwrap(), small);
        }
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [(100, 25, FLAG_ENCODED_AGAIN), (100, 30, 0)]);
}

#[test]
fn raw_images_are_the_middle_square_resized_and_lie_in_a_tar_too() {
    let wide = RgbImage {
        width: 90,
        height: 30,
        pixels: (0..30 * 90)
            .flat_map(|at| if at % 90 / 30 == 1 { [200, 100, 50] } else { [0; 3] })
            .collect(),
    };
    let (_folder, mut request) = stage(&[("a.png", png(&wide))]);
    request.form = RecordForm::Raw { side: 16 };
    run(&request).unwrap();
    let folder = request.out.join("train");
    let set = ShardSet::open(&folder).unwrap();
    assert_eq!(set.form(), RecordForm::Raw { side: 16 });
    // As if the whole had been made smaller before the middle was cut out: the filter of the
    // outermost columns reaches over the edge.
    for row in set.bytes(0).unwrap().chunks_exact(16 * 3) {
        assert_eq!(row[3..15 * 3], [200, 100, 50].repeat(14));
        assert!((150..200).contains(&row[0]) && row[0] == row[15 * 3], "{row:?}");
    }
    let listing =
        Command::new("tar").arg("tf").arg(folder.join("shard-00000.tar")).output().unwrap();
    assert_eq!(String::from_utf8(listing.stdout).unwrap(), "000000000.rgb\n000000000.cls\n");
}

/// Images that Pillow wrote, with what Pillow reads from them: CMYK, grey, progressive.
#[test]
fn unusual_jpegs_are_decoded_as_pillow_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prepare/unusual");
    for (name, extension) in
        [("cmyk", "jpg"), ("grey", "jpg"), ("progressive", "jpg"), ("grey_alpha", "png")]
    {
        let read = |extension: &str| fs::read(folder.join(format!("{name}.{extension}"))).unwrap();
        let decoded = decode(&read(extension)).unwrap();
        let expected = RgbImage { width: 24, height: 16, pixels: read("rgb") };
        let worst = decoded.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(4), "{name}: {worst:?}");
        assert!(difference(&decoded, &expected) < 0.6, "{name}");
    }
}

#[test]
fn images_that_cannot_be_stored_are_all_named_and_the_others_kept() {
    let truncated = jpeg(5);
    let truncated = truncated[..truncated.len() - 80].to_vec();
    let bomb = {
        let mut bytes = jpeg(6);
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
        bytes
    };
    let mut files = vec![
        ("0-empty.jpg", Vec::new()),
        ("1-truncated.jpg", truncated),
        ("2-text.jpg", b"<html>not found</html>".to_vec()),
        ("3-bomb.jpg", bomb),
        ("4-damaged.png", png(&picture(1, 20, 20))[..60].to_vec()),
    ];
    let names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"];
    files.extend(names.iter().zip(7..).map(|(name, number)| (*name, jpeg(number))));
    let (folder, mut request) = stage(&files);
    (request.threads, request.images_per_shard) = (1, 1);
    let said = refusal(&request);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[1].starts_with("images that cannot be stored (5):"), "{said}");
    for (name, what) in [
        ("0-empty.jpg", "is empty"),
        ("1-truncated.jpg", "is a damaged JPEG"),
        ("2-text.jpg", "is none of the kinds of images that are read"),
        ("3-bomb.jpg", "announces 65500 by 65500 pixels"),
        ("4-damaged.png", "is a damaged PNG"),
    ] {
        assert!(said.contains(&format!("class/{name} {what}")), "{said}");
    }
    assert!(!request.out.join("manifest.json").exists());
    for (name, number) in [("0-empty", 1), ("1-truncated", 2), ("2-text", 3), ("3-bomb", 4)] {
        put(&request.root.join(format!("class/{name}.jpg")), jpeg(number));
    }
    put(&request.root.join("class/4-damaged.png"), png(&picture(9, 20, 20)));
    let manifest = run(&request).unwrap().manifest;
    assert_eq!(manifest.parts[0].images, 10);
    drop(folder);
}

/// Story: of a folder of WebP files it was said that 388 files are not images by their names, and that a
/// class is without a training image; PNGs of drawings lost three quarters of their colours.
#[cfg(feature = "more_formats")]
#[test]
fn what_other_loaders_take_is_taken_by_its_content_whatever_it_is_called() {
    let unusual = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prepare/unusual");
    let read = |name: &str| fs::read(unusual.join(name)).unwrap();
    let mut names = [
        "animated.gif",
        "lossless.webp",
        "lossy.webp",
        "plain.bmp",
        "palette.bmp",
        "lzw.tif",
        "deflate.tiff",
        "pixels.ppm",
        "greys.pgm",
        "deep.png",
        "deep_grey.tif",
    ];
    names.sort_unstable();
    for name in names {
        let stem = name.rsplit_once('.').unwrap().0;
        let expected = RgbImage { width: 24, height: 16, pixels: read(&format!("{stem}.rgb")) };
        let found = decode(&read(name)).unwrap();
        let limit = if name == "lossy.webp" { 2.0 } else { 0.0 };
        let difference = difference(&found, &expected);
        assert!(difference <= limit, "{name} differs by {difference}");
    }
    let mut files: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (*name, read(name))).collect();
    files.extend([("UPPER.WebP", read("lossy.webp")), ("wrong.JPG", read("plain.bmp"))]);
    files.extend([("a.txt", vec![]), ("b.TXT", vec![]), ("README", vec![]), ("c.heic", vec![])]);
    let (_folder, request) = stage(&files);
    let manifest = run(&request).unwrap().manifest;
    insta::assert_snapshot!(manifest.warnings.join("\n"));
    let train = request.out.join("train");
    let (set, stored) =
        (ShardSet::open(&train).unwrap(), fs::read_to_string(train.join("names.txt")));
    for (i, name) in stored.unwrap().lines().enumerate() {
        let stem = Path::new(name).file_stem().unwrap().to_str().unwrap();
        let stem = match stem {
            "UPPER" => "lossy",
            "wrong" => "plain",
            stem => stem,
        };
        let expected = RgbImage { width: 24, height: 16, pixels: read(&format!("{stem}.rgb")) };
        let bytes = set.bytes(i).unwrap();
        assert!(bytes.starts_with(&[0xff, 0xd8]), "{name} is stored as a JPEG");
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        assert_eq!(bytes[frame + 11], 0x11, "{name}: colours at full resolution");
        // Palettes dither, which no JPEG of this quality keeps to the last bit.
        let dithers = ["animated", "palette"].iter().any(|one| name.contains(one));
        let limit = if dithers { 8.0 } else { 2.5 };
        assert!(difference(&decode(bytes).unwrap(), &expected) < limit, "{name}");
    }
}

/// Story: decoders spoke of `ChunkType { type: IDAT, … }`, and a TIFF could end the whole preparation.
#[cfg(feature = "more_formats")]
#[test]
fn damaged_images_of_all_kinds_are_named_with_a_reason() {
    let unusual = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prepare/unusual");
    let names = ["animated.gif", "lossy.webp", "plain.bmp", "lzw.tif", "pixels.ppm", "deep.png"];
    let cut = |name: &str| {
        let bytes = fs::read(unusual.join(name)).unwrap();
        bytes[..bytes.len() - bytes.len() / 3].to_vec()
    };
    let mut files: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (*name, cut(name))).collect();
    files.push(("photo.tiff", b"\0\0\0\x18ftypheic".to_vec()));
    let (_folder, mut request) = stage(&files);
    (request.threads, request.images_per_shard) = (1, 100);
    let mut said: Vec<String> = refusal(&request).lines().map(str::to_owned).collect();
    said.sort();
    insta::assert_snapshot!(said.join("\n"));
}
