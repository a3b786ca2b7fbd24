//! Bytes that nobody wrote on purpose: good files of every format, damaged in some thousand ways
//! that depend on the case number alone, handed to the functions that read them. Whatever comes
//! back has to hold what its reader promises; a panic fails the test.

use std::path::Path;

use lcsl_data::datasets::cifar;
use lcsl_data::decode::{DecodeLimits, Decoder, Window, libjpeg::Exactness, resize::Mirror};
use lcsl_data::images::Shape;
use lcsl_data::prepare::foreign::index_shard;
use lcsl_data::prepare::manifest::{DatasetManifest, ManifestSource};
use lcsl_data::random::{Purpose, Stream};
use lcsl_data::shard::index::{Head, RecordForm, Shard};
use lcsl_data::{idx, shard::Record};

/// `good`, damaged: bytes replaced by likely or any values, a piece doubled or taken out, an end
/// cut off.
fn damaged(good: &[u8], case: u64) -> Vec<u8> {
    let mut stream = Stream::new(case, Purpose::Synthetic, 0, 0, 0);
    let mut below = |limit: usize| (stream.unit() * limit as f64) as usize;
    let mut bytes = good.to_vec();
    for _ in 0..=below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        // Headers are short and at the beginning: half of all damage is there.
        let reach = if below(2) == 0 { bytes.len() } else { bytes.len().min(64) };
        let (at, length) = (below(reach), below(16));
        let end = (at + length).min(bytes.len());
        match below(5) {
            0 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'7', b'/'][below(8)],
            1 => bytes[at] ^= 1 << below(8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.truncate(bytes.len() - below(bytes.len().min(600))),
        }
    }
    bytes
}

/// Hands `cases` damaged forms of `good` to `read`, which says whether it accepted them; some
/// must be, and some must not, or the damage tests nothing.
fn survives(good: &[u8], cases: u64, mut read: impl FnMut(&[u8]) -> bool) {
    assert!(read(good), "the undamaged file is read");
    let accepted = (0..cases).filter(|&case| read(&damaged(good, case))).count() as u64;
    assert!(0 < accepted && accepted < cases, "{accepted} of {cases} damaged forms are read");
}

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn damaged_idx_files() {
    let path = Path::new("damaged");
    let mut images = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4].to_vec();
    images.extend(0..24);
    survives(&images, 5_000, |bytes| match idx::parse_images(path, bytes) {
        Ok(images) => {
            let sides = [images.count, images.rows, images.columns];
            let pixels: u64 = sides.map(u64::from).iter().product();
            assert_eq!((pixels, pixels + 16), (images.pixels.len() as u64, bytes.len() as u64));
            true
        }
        Err(_) => false,
    });
    let labels = [0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 4];
    survives(&labels, 5_000, |bytes| match idx::parse_labels(path, bytes, 10) {
        Ok(labels) => {
            assert!(labels.iter().all(|&label| label < 10));
            true
        }
        Err(_) => false,
    });
}

#[test]
fn damaged_cifar_records() {
    for form in [cifar::CIFAR10, cifar::CIFAR100] {
        let good = vec![3; 2 * (form.label_classes.len() + 3 * 1024)];
        survives(&good, 2_000, |bytes| {
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            let classes = form.label_classes;
            let path = Path::new("damaged");
            let read = cifar::decode(path, bytes, 2, classes, &mut pixels, &mut labels);
            if read.is_ok() {
                assert_eq!((pixels.len(), labels.len()), (2 * 3 * 1024, 2));
                assert!(labels.iter().all(|&label| label < form.classes()));
            }
            read.is_ok()
        });
    }
}

/// The checksum of the head hides what stands behind it, so it is made right again in every other
/// case.
#[test]
fn damaged_heads_of_an_index() {
    let shards = ["000000.tar", "000001.tar"]
        .map(|name| Shard { name: name.to_owned(), length: 4096 })
        .to_vec();
    let block_checksums = vec![7];
    let head = Head { form: RecordForm::Jpeg, classes: 9, records: 2, shards, block_checksums };
    let mut good = head.to_bytes();
    good.extend(Record::default().to_bytes());
    good.extend(Record::default().to_bytes());
    let mut case = 0;
    survives(&good, 20_000, |bytes| {
        case += 1;
        let mut bytes = bytes.to_vec();
        let length = bytes.get(40..48).map_or(0, |length| {
            u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize
        });
        if case % 2 == 0 && (64..=bytes.len()).contains(&length) {
            bytes[48..52].fill(0);
            let checksum = crc32c::crc32c(&bytes[..length]);
            bytes[48..52].copy_from_slice(&checksum.to_le_bytes());
        }
        let Ok((head, begins)) = Head::read(&bytes) else { return false };
        assert_eq!(begins as u64 + head.records * 48, bytes.len() as u64);
        assert_eq!(head.block_checksums.len() as u64, head.records.div_ceil(1024));
        true
    });
}

#[test]
fn damaged_manifests() {
    let source = ManifestSource { root: "somewhere".to_owned(), lists: Vec::new() };
    let manifest = DatasetManifest::new("folder", "jpeg", "none".to_owned(), source);
    let good = serde_json::to_vec(&manifest).expect("plain values become JSON");
    survives(&good, 5_000, |bytes| DatasetManifest::parse(bytes).is_ok());
}

#[test]
fn damaged_tar_shards() {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in [("a/1.jpg", golden("tiny.jpg")), ("a/1.cls", b"4\n".to_vec())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, &content[..]).expect("memory takes everything");
    }
    let good = builder.into_inner().expect("memory takes everything");
    let mut case = 0;
    survives(&good, 10_000, |bytes| {
        case += 1;
        let mut bytes = bytes.to_vec();
        if case % 2 == 0 && bytes.len() >= 512 {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes().copy_from_slice(&bytes[..512]);
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
        }
        let Ok(records) = index_shard(Path::new("damaged"), &bytes, 10) else { return false };
        for record in records {
            assert!(record.offset + record.length <= bytes.len() as u64 && record.label < 10);
        }
        true
    });
}

/// Any window of any picture that is small enough; larger ones are refused before memory is taken.
#[test]
fn damaged_jpegs() {
    let limits = DecodeLimits { bytes: 1 << 20, pixels: 1 << 20 };
    let mut decoder = Decoder::new(limits, Exactness::Exact);
    let shape = Shape { width: 32, height: 24, channels: 3 };
    let mut target = vec![0; shape.bytes()];
    for name in ["tiny.jpg", "grey.jpg", "progressive.jpg", "cmyk.jpg", "restarts.jpg"] {
        let mut case = 0;
        survives(&golden(name), 400, |bytes| {
            case += 1;
            let mut stream = Stream::new(case, Purpose::Synthetic, 1, 0, 0);
            let mut below = |limit: u32| (stream.unit() * f64::from(limit)) as u32;
            let choose = |width: u32, height: u32| {
                assert!(u64::from(width) * u64::from(height) <= limits.pixels);
                let (left, top) = (below(width), below(height));
                let (width, height) = (1 + below(width - left), 1 + below(height - top));
                (Window { left, top, width, height }, Mirror::Yes)
            };
            decoder.window(bytes, choose, shape, &mut target).is_ok()
        });
    }
}
