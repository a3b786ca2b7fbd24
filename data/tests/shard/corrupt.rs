//! Corrupt records on their way through the loader: fatal or counted, and always named.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lcsl_data::DataError;
use lcsl_data::batch::Piece;
use lcsl_data::loader::{CorruptPolicy, Loader, LoaderOptions, ShardSource, View};
use lcsl_data::prepare::image::{RgbImage, encode};
use lcsl_data::sampler::EpochOrder;
use lcsl_data::shard::index::{INDEX_FILE, write_index};
use lcsl_data::shard::writer::{Image, ShardWriter};
use lcsl_data::shard::{Record, RecordForm, ShardSet};
use tempfile::TempDir;

const IMAGES: u64 = 12;
/// Its bytes are not those that the index was written for.
const ROTTEN: u64 = 3;
/// Its checksum is right, and its scan ends after a few bytes: only decoding finds that.
const CUT_SHORT: u64 = 7;

fn jpeg(number: u64) -> Vec<u8> {
    let pixels = (0..24 * 24 * 3).map(|at| (at * (number + 3) / 5) as u8).collect();
    encode(&RgbImage { width: 24, height: 24, pixels }, 80).unwrap()
}

/// Says that the picture ends where its scan has hardly begun.
fn cut_short(mut jpeg: Vec<u8>) -> Vec<u8> {
    let scan = jpeg.windows(2).position(|marker| marker == [0xff, 0xda]).unwrap();
    let header = usize::from(u16::from_be_bytes([jpeg[scan + 2], jpeg[scan + 3]]));
    jpeg[scan + 2 + header + 8..][..2].copy_from_slice(&[0xff, 0xd9]);
    jpeg
}

/// Twelve images in one shard, image i of class i, two of them corrupt.
fn write_corrupt_set(folder: &Path) -> Vec<Record> {
    let path = folder.join("shard-00000.tar");
    let mut writer = ShardWriter::create(&path, 0, RecordForm::Jpeg).unwrap();
    let mut append = |key| {
        let bytes = if key == CUT_SHORT { cut_short(jpeg(key)) } else { jpeg(key) };
        let label = key as u32;
        let image = Image { key, bytes: &bytes, label, width: 24, height: 24, flags: 0 };
        writer.append(&image).unwrap()
    };
    let records: Vec<Record> = (0..IMAGES).map(&mut append).collect();
    let shard = writer.finish().unwrap();
    write_index(folder, RecordForm::Jpeg, IMAGES as u32, vec![shard], IMAGES, records.clone())
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[records[ROTTEN as usize].offset as usize + 40] ^= 1;
    fs::write(&path, bytes).unwrap();
    records
}

fn opened(folder: &TempDir) -> ShardSet {
    ShardSet::open(folder.path()).unwrap()
}

/// Batches of five, in the order of the shard.
fn loader(set: ShardSet, corrupt_policy: CorruptPolicy) -> Loader {
    let starts = (0..IMAGES).step_by(5);
    let requests =
        starts.map(|start| Piece { epoch: 0, positions: start..(start + 5).min(IMAGES) });
    Loader::start(
        Box::new(ShardSource(Arc::new(set))),
        None,
        Box::new(|_| EpochOrder::sequential(IMAGES)),
        Box::new(requests),
        LoaderOptions {
            threads: 2,
            ahead: 2,
            batch_images: 5,
            pin: None,
            seed: 0,
            view: View::evaluation(16),
            corrupt_policy,
        },
    )
}

/// Errors with the folder written as DIR; a record's bytes and checksums as they come.
fn said(error: &impl std::fmt::Display, folder: &TempDir) -> String {
    error.to_string().replace(folder.path().to_str().unwrap(), "DIR")
}

/// Both kinds of damage are met in one pass: the batch that has them goes on without them, at their own
/// positions, and nothing else is lost.
#[test]
fn corrupt_records_are_left_out_where_they_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    write_corrupt_set(folder.path());
    let mut loader = loader(opened(&folder), CorruptPolicy::Skip);
    let (mut labels, mut positions, mut sentences) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(loaded) = loader.next_batch() {
        let batch = loaded.unwrap().batch;
        let sound = batch.without_corrupt();
        assert_eq!(sound.pixels.len(), sound.labels.len() * View::evaluation(16).shape.bytes());
        labels.extend_from_slice(&sound.labels);
        positions.extend(sound.positions);
        sentences.extend(batch.corrupt.iter().map(|one| said(&one.error, &folder)));
    }
    let left: Vec<u64> = (0..IMAGES).filter(|i| ![ROTTEN, CUT_SHORT].contains(i)).collect();
    assert_eq!(positions, left);
    assert!(labels.iter().zip(&left).all(|(label, position)| *label == *position as i64));
    insta::assert_snapshot!(sentences.join("\n"));
}

/// The first one in the order ends the loader where they are fatal, although its checksum is right, or
/// although it can be decoded.
#[test]
fn the_first_corrupt_record_is_an_error_where_they_are_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let records = write_corrupt_set(folder.path());
    let message = |folder: &TempDir| {
        let mut loader = loader(opened(folder), CorruptPolicy::Fail);
        let mut whole = 0;
        loop {
            match loader.next_batch().unwrap() {
                Ok(loaded) => whole += loaded.batch.labels.len(),
                Err(error) => {
                    let error = DataError::from(error);
                    assert!(error.is_of_one_record(), "{error}");
                    return (
                        whole,
                        format!("{}\nhint: {}", said(&error, folder), error.hint().unwrap()),
                    );
                }
            }
        }
    };
    let rotten = message(&folder);
    assert_eq!(rotten.0, 0);
    // Made good again, so that the next one is met.
    let path = folder.path().join("shard-00000.tar");
    let mut bytes = fs::read(&path).unwrap();
    bytes[records[ROTTEN as usize].offset as usize + 40] ^= 1;
    fs::write(&path, bytes).unwrap();
    let cut_short = message(&folder);
    assert_eq!(cut_short.0, 5);
    insta::assert_snapshot!(format!("{}\n\n{}", rotten.1, cut_short.1));
}

/// Story: counting would have trained on nothing at all, and said so at the end, where a whole shard
/// had gone or the index was damaged.
#[test]
fn what_is_wrong_with_more_than_one_record_is_fatal_also_where_records_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    write_corrupt_set(folder.path());
    let (shard, index) = (folder.path().join("shard-00000.tar"), folder.path().join(INDEX_FILE));
    let good = fs::read(&index).unwrap();
    let mut bytes = good.clone();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&index, bytes).unwrap();
    let refused =
        |mut loader: Loader| loader.next_batch().unwrap().map(|_| ()).unwrap_err().to_string();
    let error = refused(loader(opened(&folder), CorruptPolicy::Skip));
    assert!(error.contains("the checksum of records 0 to 11"), "{error}");

    fs::write(&index, good).unwrap();
    let set = opened(&folder);
    fs::remove_file(&shard).unwrap();
    let error = refused(loader(set, CorruptPolicy::Skip));
    assert!(error.contains("cannot map") && error.contains("shard-00000.tar"), "{error}");
}
