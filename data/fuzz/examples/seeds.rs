//! Writes the files that the corpora began with: `cargo run --example seeds -- FOLDER` makes
//! `FOLDER/TARGET/*`, small files of every kind that each reader accepts.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use lcsl_data::prepare::manifest::{ListFile, DatasetManifest, SplitEntry, ManifestSource};
use lcsl_data::shard::index::{Head, Shard};
use lcsl_data::shard::{RecordForm, Record};

use lcsl_fuzz::index::{SHARD, SHARD_BYTES, shard_byte};

fn main() {
    let root = PathBuf::from(std::env::args().nth(1).expect("a folder is given"));
    for (target, files) in [
        ("cifar", cifar()),
        ("idx", idx()),
        ("index", index()),
        ("jpeg", jpeg()),
        ("manifest", manifest()),
        ("tar", tar()),
    ] {
        let folder = root.join(target);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (number, bytes) in files.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), bytes).expect("it can be written");
        }
        println!("{target}: {} files", files.len());
    }
}

fn cifar() -> Vec<Vec<u8>> {
    let planes = |seed: usize| (0..3 * 1024).map(move |at| (at * seed) as u8);
    let one: Vec<u8> = [9].into_iter().chain(planes(3)).collect();
    let hundred: Vec<u8> = [19, 99].into_iter().chain(planes(5)).collect();
    vec![one.clone(), [one.clone(), one].concat(), hundred]
}

fn idx() -> Vec<Vec<u8>> {
    let mut images = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4].to_vec();
    images.extend(0..24);
    let labels = [0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 4].to_vec();
    let packed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory takes everything");
        encoder.finish().expect("memory takes everything")
    };
    vec![packed(&images), packed(&labels), images, labels]
}

fn index() -> Vec<Vec<u8>> {
    let shard: Vec<u8> = (0..SHARD_BYTES).map(shard_byte).collect();
    let record = |offset: u64, length: u64, side: u32, label: u32| Record {
        offset,
        length,
        label,
        width: side,
        height: side,
        crc32c: crc32c::crc32c(&shard[offset as usize..][..length as usize]),
        ..Record::default()
    };
    let jpeg = [record(512, 100, 9, 2), record(0, 12, 40, 0), record(1400, 136, 1, 1)];
    let raw = [record(512, 12, 2, 1), record(1024, 12, 2, 0)];
    let file = |form, records: &[Record]| {
        let names = [SHARD, "b.tar"];
        let length = SHARD_BYTES as u64;
        let shards = names.map(|name| Shard { name: name.to_owned(), length }).to_vec();
        let bytes: Vec<u8> = records.iter().flat_map(Record::to_bytes).collect();
        let block_checksums = bytes.chunks(1024 * 48).map(crc32c::crc32c).collect();
        let records = records.len() as u64;
        let mut file = Head { form, classes: 3, records, shards, block_checksums }.to_bytes();
        file.extend(bytes);
        file
    };
    let name = |letter: &str| Shard { name: letter.repeat(120), length: 0 };
    let shards = vec![name("a"), name("b")];
    let block_checksums = Vec::new();
    let long = Head { form: RecordForm::Jpeg, classes: 1, records: 0, shards, block_checksums };
    vec![file(RecordForm::Jpeg, &jpeg), file(RecordForm::Raw { side: 2 }, &raw), long.to_bytes()]
}

/// Pixels of a picture with edges and a slope.
fn pixels(width: u16, height: u16, channels: usize) -> Vec<u8> {
    let places =
        (0..usize::from(height)).flat_map(|y| (0..usize::from(width)).map(move |x| (x, y)));
    places
        .flat_map(|(x, y)| {
            (0..channels).map(move |c| (x * (7 + c) + y * 5 + (x / 9 + y / 7) % 2 * 90) as u8)
        })
        .collect()
}

fn jpeg() -> Vec<Vec<u8>> {
    let encoded = |colour: ColorType, channels, set: &dyn Fn(&mut Encoder<&mut Vec<u8>>)| {
        let (mut file, (width, height)) = (Vec::new(), (43, 37));
        let mut encoder = Encoder::new(&mut file, 60);
        set(&mut encoder);
        let pixels = pixels(width, height, channels);
        encoder.encode(&pixels, width, height, colour).expect("pixels of a right size");
        file
    };
    let mut files: Vec<Vec<u8>> = [
        SamplingFactor::F_1_1,
        SamplingFactor::F_2_1,
        SamplingFactor::F_1_2,
        SamplingFactor::F_2_2,
        SamplingFactor::F_4_1,
        SamplingFactor::F_4_2,
    ]
    .map(|factor| encoded(ColorType::Rgb, 3, &|encoder| encoder.set_sampling_factor(factor)))
    .to_vec();
    files.push(encoded(ColorType::Luma, 1, &|_| ()));
    files.push(encoded(ColorType::Cmyk, 4, &|_| ()));
    files.push(encoded(ColorType::CmykAsYcck, 4, &|_| ()));
    files.push(encoded(ColorType::Rgb, 3, &|encoder| encoder.set_progressive(true)));
    files.push(encoded(ColorType::Luma, 1, &|encoder| encoder.set_progressive_scans(9)));
    files.push(encoded(ColorType::Rgb, 3, &|encoder| encoder.set_restart_interval(2)));
    files.push(encoded(ColorType::Rgb, 3, &|encoder| encoder.set_optimized_huffman_tables(true)));
    for (lossless, grey) in [(false, false), (true, false), (true, true)] {
        files.push(by_libjpeg(lossless, grey));
    }
    for colour in [png::ColorType::Rgb, png::ColorType::Rgba, png::ColorType::Grayscale] {
        files.push(by_png(colour));
    }
    files
}

/// What libjpeg-turbo writes itself; lossless prediction is a kind that the other encoder lacks.
fn by_libjpeg(lossless: bool, grey: bool) -> Vec<u8> {
    let (format, subsamp, channels) = if grey {
        (turbojpeg::PixelFormat::GRAY, turbojpeg::Subsamp::Gray, 1)
    } else {
        (turbojpeg::PixelFormat::RGB, turbojpeg::Subsamp::None, 3)
    };
    let pixels = pixels(13, 11, channels);
    let image = turbojpeg::Image {
        pixels: pixels.as_slice(),
        width: 13,
        pitch: 13 * channels,
        height: 11,
        format,
    };
    let mut compressor = turbojpeg::Compressor::new().expect("there is memory");
    compressor.set_subsamp(subsamp).expect("it is known");
    compressor.set_lossless(lossless).expect("it is known");
    compressor.compress_to_vec(image).expect("pixels of a right size")
}

fn by_png(colour: png::ColorType) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 9, 8);
    encoder.set_color(colour);
    let mut writer = encoder.write_header().expect("memory takes everything");
    writer.write_image_data(&pixels(9, 8, colour.samples())).expect("memory takes everything");
    writer.finish().expect("memory takes everything");
    file
}

fn manifest() -> Vec<Vec<u8>> {
    let lists = vec![ListFile { file: "l".into(), entries: 3, git_blob: "0a".into() }];
    let source = ManifestSource { root: "r".to_owned(), lists };
    let empty = DatasetManifest::new("folder", "jpeg", "none".to_owned(), source);
    let mut full = empty.clone();
    full.class_names = vec!["a".to_owned(), "ü".to_owned()];
    for (name, counts) in [("train", [1, 2]), ("val", [0, 1])] {
        full.parts.push(SplitEntry {
            name: name.to_owned(),
            images: counts.iter().sum(),
            shards: 1,
            bytes: 9,
            counts: counts.to_vec(),
            digest: String::new(),
        });
    }
    full.duplicates.across_parts = 1;
    full.duplicates.named = vec![vec!["train/0".to_owned(), "val/0".to_owned()]];
    full.warnings.push("\"unusual\"\n".to_owned());
    [empty, full].map(|manifest| serde_json::to_vec(&manifest).expect("plain values")).to_vec()
}

fn tar() -> Vec<Vec<u8>> {
    let image = by_libjpeg(false, true);
    let png = by_png(png::ColorType::Grayscale);
    let long = format!("{}/{}", "x".repeat(60), "y".repeat(60));
    let raw = pixels(2, 2, 3);
    let plain: &[(&str, &[u8])] = &[("a/1.jpg", &image), ("a/1.cls", b"4\n"), ("a/1.json", b"{}")];
    let two: &[(&str, &[u8])] =
        &[("1.cls", b"0"), ("1.png", &png), ("2.jpeg", &image), ("2.cls", b"9")];
    let raws: &[(&str, &[u8])] = &[("1.rgb", &raw), ("1.cls", b"1")];
    let (jpg, cls) = (format!("{long}.jpg"), format!("{long}.cls"));
    let long: &[(&str, &[u8])] = &[(&jpg, &image), (&cls, b"7")];
    vec![
        shard(tar::Header::new_ustar(), plain, false),
        shard(tar::Header::new_gnu(), two, false),
        shard(tar::Header::new_ustar(), raws, false),
        shard(tar::Header::new_gnu(), long, false),
        shard(tar::Header::new_ustar(), plain, true),
    ]
}

/// A tar with a folder and `members`, whose sizes stand in pax headers where `pax` says so.
fn shard(mut header: tar::Header, members: &[(&str, &[u8])], pax: bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    if !pax {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        builder.append_data(&mut header, "a", &b""[..]).expect("memory takes everything");
    }
    header.set_entry_type(tar::EntryType::Regular);
    for (name, content) in members {
        if pax {
            let size = content.len().to_string();
            let fields = [("size", size.as_bytes()), ("mtime", b"1.5")];
            builder.append_pax_extensions(fields).expect("memory takes everything");
        }
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).expect("memory takes everything");
    }
    builder.into_inner().expect("memory takes everything")
}
