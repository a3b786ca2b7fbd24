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
    for name in ["cmyk", "grey", "progressive", "grey_alpha"] {
        let read = |extension: &str| fs::read(folder.join(format!("{name}.{extension}"))).unwrap();
        let is_png = name == "grey_alpha";
        let decoded = decode(&read(if is_png { "png" } else { "jpg" })).unwrap();
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
    assert!(lines[1].starts_with("5 images that cannot be stored"), "{said}");
    for (name, what) in [
        ("0-empty.jpg", "is empty"),
        ("1-truncated.jpg", "is a damaged JPEG"),
        ("2-text.jpg", "is neither a JPEG nor a PNG"),
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
