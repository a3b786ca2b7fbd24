//! Files made to mislead: whatever bytes an index, a shard or a manifest has, reading them ends
//! with values or with an error, never with a panic, and takes memory in proportion to what is
//! there.

use std::fs;

use lcsl_data::prepare::DatasetManifest;
use lcsl_data::prepare::foreign::index;
use lcsl_data::prepare::image::{RgbImage, decode, encode};
use lcsl_data::shard::index::{Head, INDEX_FILE};
use lcsl_data::shard::{Record, ShardSet};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::stage::{content, write_set};

/// Asks for everything that a set has; returns how many images came.
fn read_all(folder: &TempDir) -> usize {
    let Ok(set) = ShardSet::open(folder.path()) else { return 0 };
    // A damaged head may announce no more records than the file has room for.
    assert!(set.len() <= 10_000);
    (0..set.len()).filter(|&i| set.bytes(i).is_ok()).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn an_index_with_any_bit_flipped_never_gives_wrong_bytes(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let folder = tempfile::tempdir().unwrap();
        let records = write_set(folder.path(), 9, 4, 3);
        let path = folder.path().join(INDEX_FILE);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        fs::write(&path, bytes).unwrap();
        // Every byte stands under a checksum: nothing at all can be read.
        prop_assert_eq!(read_all(&folder), 0);
        drop(records);
    }

    #[test]
    fn a_shard_with_any_bit_flipped_gives_right_bytes_or_an_error(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let folder = tempfile::tempdir().unwrap();
        write_set(folder.path(), 6, 6, 3);
        let path = folder.path().join("shard-00000.tar");
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        fs::write(&path, bytes).unwrap();
        let set = ShardSet::open(folder.path()).unwrap();
        let right = (0..6).filter(|&i| set.bytes(i).is_ok_and(|found| found == content(i as u64)));
        let wrong = (0..6).filter(|&i| set.bytes(i).is_err()).count();
        prop_assert_eq!(right.count() + wrong, 6);
        prop_assert!(wrong <= 1);
    }

    #[test]
    fn any_bytes_are_refused_as_a_head(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Head::read(&bytes).is_err());
        let mut begins_right = b"LCSLIDX\0\x01\0\0\0\x30\0\0\0".to_vec();
        begins_right.extend(bytes);
        prop_assert!(Head::read(&begins_right).is_err());
    }

    /// A head whose checksum was made right after its numbers were changed.
    #[test]
    fn a_lying_head_is_refused_or_harmless(
        field in 8..64_usize, value in any::<u32>(), more in any::<[u8; 4]>(), at in 64..128_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        write_set(folder.path(), 9, 4, 3);
        let path = folder.path().join(INDEX_FILE);
        let mut bytes = fs::read(&path).unwrap();
        let (_, head) = Head::read(&bytes).unwrap();
        bytes[field..field + 4].copy_from_slice(&value.to_le_bytes());
        bytes[at..at + 4].copy_from_slice(&more);
        bytes[48..52].fill(0);
        let checksum = crc32c::crc32c(&bytes[..head]);
        bytes[48..52].copy_from_slice(&checksum.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        read_all(&folder);
    }

    /// Records under right checksums, with any content.
    #[test]
    fn lying_records_are_refused_or_inside_their_shard(
        bytes in prop::array::uniform32(any::<u8>()), small in any::<[u16; 3]>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let right = write_set(folder.path(), 2, 2, 3)[0];
        let mut lie = Record::from_bytes(&{
            let mut whole = right.to_bytes();
            whole[8..40].copy_from_slice(&bytes);
            whole
        });
        if small[0].is_multiple_of(2) {
            (lie.offset, lie.length) = (u64::from(small[1]), u64::from(small[2]));
            (lie.label, lie.width, lie.height) = (0, 1, 1);
        }
        let set = ShardSet::open(folder.path()).unwrap();
        let (shards, total) = (set.shards().to_vec(), set.shards()[0].length);
        lcsl_data::shard::index::write_index(
            folder.path(), lcsl_data::shard::RecordForm::Jpeg, 3, shards, 1, [lie],
        ).unwrap();
        let set = ShardSet::open(folder.path()).unwrap();
        if set.record(0).is_ok() {
            prop_assert!(lie.offset + lie.length <= total);
        }
        let _ = set.bytes(0);
    }

    #[test]
    fn any_tar_is_indexed_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        headers_only in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        write_tar(&folder);
        let path = folder.path().join("shard-00000.tar");
        let mut bytes = fs::read(&path).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[if headers_only { at % 512 } else { at }] = value;
        }
        if headers_only {
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        } else {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        fs::write(&path, bytes).unwrap();
        if index(folder.path(), None, |_, _| {}).is_ok() {
            read_all(&folder);
        }
    }

    #[test]
    fn any_image_is_decoded_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = jpeg();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(RgbImage { width, height, pixels }) = decode(&bytes) {
            prop_assert_eq!(pixels.len() as u64, u64::from(width) * u64::from(height) * 3);
        }
    }

    #[test]
    fn any_manifest_is_read_or_refused(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut text = MANIFEST.as_bytes().to_vec();
        DatasetManifest::parse(&text).unwrap();
        let at = at.index(text.len());
        text[at] = value;
        let _ = DatasetManifest::parse(&text);
    }
}

const MANIFEST: &str = r#"{"format": 1, "dataset": "d", "form": "jpeg", "settings": "s",
    "source": {"root": "r", "lists": [{"file": "f", "entries": 3, "git_blob": "00"}]},
    "class_names": ["a", "b"],
    "parts": [{"name": "train", "images": 3, "shards": 1, "bytes": 9, "counts": [1, 2],
    "digest": ""}], "duplicates": {"across_parts": 0, "within_parts": 0, "named": []},
    "warnings": [], "fingerprint": ""}"#;

fn jpeg() -> Vec<u8> {
    let rgb =
        RgbImage { width: 24, height: 24, pixels: (0..24 * 24 * 3).map(|at| at as u8).collect() };
    encode(&rgb, 80).unwrap()
}

/// A shard of two real images.
fn write_tar(folder: &TempDir) {
    use lcsl_data::shard::writer::{Image, ShardWriter};
    let path = folder.path().join("shard-00000.tar");
    let mut writer = ShardWriter::create(&path, 0, lcsl_data::shard::RecordForm::Jpeg).unwrap();
    let bytes = jpeg();
    for key in 0..2 {
        let image = Image { key, bytes: &bytes, label: 1, width: 24, height: 24, flags: 0 };
        writer.append(&image).unwrap();
    }
    writer.finish().unwrap();
}

/// Opening reads the head and none of the records: fourteen million of them here, in a file that is mostly
/// a hole.
#[test]
fn fourteen_million_records_are_opened_without_reading_one() {
    const RECORDS: u64 = 14_000_000;
    let folder = tempfile::tempdir().unwrap();
    let hole = vec![0; 1024 * 48];
    let blocks = RECORDS / 1024;
    let mut block_checksums = vec![crc32c::crc32c(&hole); blocks as usize];
    block_checksums.push(crc32c::crc32c(&hole[..(RECORDS % 1024) as usize * 48]));
    let form = lcsl_data::shard::RecordForm::Jpeg;
    let head = Head { form, classes: 1, records: RECORDS, shards: Vec::new(), block_checksums };
    let (path, bytes) = (folder.path().join(INDEX_FILE), head.to_bytes());
    fs::write(&path, &bytes).unwrap();
    let length = bytes.len() as u64 + RECORDS * 48;
    fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
    let set = ShardSet::open(folder.path()).unwrap();
    assert_eq!(set.len() as u64, RECORDS);
    let opened = bytes_read(&path);
    assert!(opened >= bytes.len() as u64 / 2, "{opened} bytes: is the index still mapped?");
    // What the kernel maps around a page that is read may be more than the head.
    assert!(opened <= bytes.len() as u64 + (1 << 20), "{opened} bytes of the index were read");
    // Records that are asked for do show: a block of 48 KiB each. (There is no shard that holds their images.)
    for block in 0..100 {
        assert!(set.record(block * 100 * 1024).is_err());
    }
    assert!(bytes_read(&path) > opened + (1 << 20));
}

/// Bytes of the file at `path` that this process has read through its mapping.
fn bytes_read(path: &std::path::Path) -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = maps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
    let resident = lines.find_map(|line| line.strip_prefix("Rss:")).expect("a mapped file");
    resident.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() << 10
}
