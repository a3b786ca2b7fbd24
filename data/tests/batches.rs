//! Streams of batches: the same laws for images in memory and in shards.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has to fail there")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lcsl_data::augment::recipes::{photographs, small};
use lcsl_data::batch::{Batches, DecodeSettings, ImageStore, ImageStream, Piece, SampledImages};
use lcsl_data::images::{ImageSet, Shape};
use lcsl_data::loader::CorruptPolicy;
use lcsl_data::prepare::image::{RgbImage, encode};
use lcsl_data::sampler::{EpochOrder, Sampler, SamplerKind};
use lcsl_data::shard::index::write_index;
use lcsl_data::shard::writer::{Image, ShardWriter};
use lcsl_data::shard::{RecordForm, ShardSet};

const IMAGES: u64 = 23;
const SIDE: usize = 16;
const BATCH: u64 = 5;
const SEED: u64 = 9;

/// Image i: rows of `SIDE` pixels that differ from those of every other image.
fn pixels(i: u64) -> Vec<u8> {
    (0..(SIDE * SIDE * 3) as u64).map(|at| (at * (i + 3) / 5) as u8).collect()
}

/// One image in four is of class 1.
fn label(i: u64) -> u32 {
    u32::from(i % 4 == 3)
}

fn in_memory() -> ImageStore {
    let shape = Shape { height: SIDE, width: SIDE, channels: 3 };
    let labels = (0..IMAGES).map(label).collect();
    ImageStore::Memory(Arc::new(ImageSet::new(
        shape,
        (0..IMAGES).flat_map(pixels).collect(),
        labels,
    )))
}

/// The same images as JPEG files in one shard in `folder`.
fn in_shards(folder: &Path) -> ImageStore {
    let path = folder.join("shard-00000.tar");
    let mut writer = ShardWriter::create(&path, 0, RecordForm::Jpeg).unwrap();
    let side = SIDE as u32;
    let mut append = |key| {
        let bytes =
            encode(&RgbImage { width: side, height: side, pixels: pixels(key) }, 90).unwrap();
        let label = label(key);
        writer
            .append(&Image { key, bytes: &bytes, label, width: side, height: side, flags: 0 })
            .unwrap()
    };
    let records: Vec<_> = (0..IMAGES).map(&mut append).collect();
    let shard = writer.finish().unwrap();
    write_index(folder, RecordForm::Jpeg, 2, vec![shard], IMAGES, records).unwrap();
    ImageStore::Shards(Arc::new(ShardSet::open(folder).unwrap()))
}

/// All images of `store` but the first, drawn by `kind`.
fn stream(store: ImageStore, kind: SamplerKind) -> ImageStream {
    let indices: Arc<[u32]> = (1..IMAGES as u32).collect();
    let sampler = Sampler::new(kind, indices.iter().map(|&index| label(u64::from(index))), SEED);
    let recipe = match store {
        ImageStore::Memory(_) => small::CROP_FLIP,
        ImageStore::Shards(_) => photographs::CROP_FLIP,
    };
    ImageStream { store, indices, sampler, recipe, side: SIDE, seed: SEED }
}

fn settings(corrupt_policy: CorruptPolicy) -> DecodeSettings {
    DecodeSettings { threads: 2, ahead: 2, batch_images: BATCH as usize, pin: None, corrupt_policy }
}

/// The pieces of two epochs of `images` images, without the first `skipped` of them.
fn pieces(images: u64, skipped: usize) -> Box<dyn Iterator<Item = Piece> + Send> {
    let epoch = move |epoch| {
        let starts = (0..images).step_by(BATCH as usize);
        starts.map(move |start| Piece { epoch, positions: start..(start + BATCH).min(images) })
    };
    Box::new((0..2).flat_map(epoch).skip(skipped))
}

fn start(stream: &ImageStream, skipped: usize) -> Box<dyn Batches> {
    let images = stream.indices.len() as u64;
    stream.batches(pieces(images, skipped), settings(CorruptPolicy::Fail))
}

/// A batch, to be kept: its piece, pixels, labels and positions.
type Owned = (Piece, Vec<u8>, Vec<i64>, Vec<u64>);

fn next(batches: &mut dyn Batches) -> Option<Owned> {
    let batch = batches.next().unwrap()?;
    Some((batch.piece, batch.pixels.into_owned(), batch.labels.into_owned(), batch.positions))
}

fn all(mut batches: Box<dyn Batches>) -> Vec<Owned> {
    std::iter::from_fn(|| next(batches.as_mut())).collect()
}

/// Both stores, with a folder that has to live as long.
fn stores() -> (tempfile::TempDir, [ImageStore; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let stores = [in_memory(), in_shards(folder.path())];
    (folder, stores)
}

#[test]
fn each_batch_says_which_piece_it_is_and_holds_its_images() {
    let (_folder, stores) = stores();
    for store in stores {
        let stream = stream(store, SamplerKind::Random);
        let batches = all(start(&stream, 0));
        let expected: Vec<Piece> = pieces(IMAGES - 1, 0).collect();
        assert!(batches.iter().map(|batch| &batch.0).eq(&expected));
        for (piece, pixels, labels, positions) in batches {
            let order = stream.sampler.order(piece.epoch);
            let drawn = piece.positions.clone().map(|at| stream.indices[order.at(at) as usize]);
            let expected: Vec<i64> = drawn.map(|i| i64::from(label(u64::from(i)))).collect();
            assert_eq!(labels, expected);
            assert_eq!(pixels.len(), labels.len() * SIDE * SIDE * 3);
            assert!(positions.into_iter().eq(piece.positions));
        }
    }
}

/// Images in memory are those that a sampler draws, augmented: nothing comes between.
#[test]
fn batches_of_arrays_are_filled_as_positions_are() {
    let ImageStore::Memory(set) = in_memory() else { unreachable!("made in memory") };
    let stream = stream(ImageStore::Memory(set.clone()), SamplerKind::Random);
    let images = SampledImages::new(set, stream.indices.clone(), stream.recipe, SEED);
    for (piece, pixels, labels, _) in all(start(&stream, 0)) {
        let mut expected = (Vec::new(), Vec::new());
        images.fill(piece.epoch, piece.positions, 0, &mut expected.0, &mut expected.1);
        assert!((pixels, labels) == expected);
    }
}

/// A run that goes on at a step gets what it would have got.
#[test]
fn a_stream_that_starts_in_the_middle_of_an_epoch_gives_the_rest() {
    let (_folder, stores) = stores();
    for store in stores {
        let stream = stream(store, SamplerKind::ClassBalanced);
        let whole = all(start(&stream, 0));
        for skipped in [1, 4, 7] {
            assert!(all(start(&stream, skipped)) == whole[skipped..], "from batch {skipped}");
        }
        assert!(all(start(&stream, whole.len())).is_empty());
    }
}

/// A second sampler's images, as partners to mix with: whoever asks in turn gets from each stream what
/// it gives alone.
#[test]
fn two_streams_side_by_side_give_what_each_gives_alone() {
    let (_folder, stores) = stores();
    for store in stores {
        let head = stream(store.clone(), SamplerKind::Random);
        let tail = ImageStream { seed: 77, ..stream(store, SamplerKind::Reversed) };
        let alone = [all(start(&head, 0)), all(start(&tail, 2))];
        let (mut one, mut other) = (start(&head, 0), start(&tail, 2));
        let (mut heads, mut tails) = (Vec::new(), Vec::new());
        while let Some(batch) = next(one.as_mut()) {
            heads.push(batch);
            tails.extend(next(other.as_mut()));
        }
        assert!([heads, tails] == alone);
        assert!(alone[0][2].1 != alone[1][0].1, "another sampler and another seed");
    }
}

#[test]
fn evaluation_goes_in_order_over_the_images_as_they_are() {
    let (_folder, [memory, shards]) = stores();
    let indices: Arc<[u32]> = [7, 2, 4].into();
    for store in [memory.clone(), shards] {
        let stream = ImageStream::in_order(store, indices.clone(), SIDE);
        let batches = all(stream.batches(pieces(3, 0), settings(CorruptPolicy::Fail)));
        assert_eq!(batches.len(), 2);
        assert_eq!(batches[0].2, [1, 0, 0]);
        assert_eq!(batches[0].1, batches[1].1, "every epoch alike");
    }
    let stream = ImageStream::in_order(memory, indices, SIDE);
    let batch = all(stream.batches(pieces(3, 0), settings(CorruptPolicy::Fail))).remove(0);
    assert_eq!(batch.1, [7, 2, 4].map(pixels).concat());
    assert_eq!(stream.sampler.order(1), EpochOrder::sequential(3));
}

/// Story: a selection as long as its set was taken for the whole set in its own order, so that a
/// shuffled one would have been read in another order than the one asked for.
#[test]
fn a_selection_as_long_as_the_set_keeps_its_own_order() {
    let (_folder, stores) = stores();
    let rotated = |i: u64| (i + 1) % IMAGES;
    let indices: Arc<[u32]> = (0..IMAGES).map(|i| rotated(i) as u32).collect();
    for store in stores {
        let stream = ImageStream::in_order(store, indices.clone(), SIDE);
        let batches = all(stream.batches(pieces(IMAGES, 0), settings(CorruptPolicy::Fail)));
        let labels = batches.iter().take(5).flat_map(|batch| batch.2.clone());
        assert!(labels.eq((0..IMAGES).map(|i| i64::from(label(rotated(i))))));
    }
}

/// Corrupt images are missing from their batch and listed with it; all others keep their positions.
#[test]
fn corrupt_images_are_skipped_and_listed_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let ImageStore::Shards(set) = in_shards(folder.path()) else { unreachable!("made in shards") };
    let record = set.record(8).unwrap();
    drop(set);
    let path = folder.path().join("shard-00000.tar");
    let mut bytes = fs::read(&path).unwrap();
    bytes[record.offset as usize + 40] ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = ImageStore::Shards(Arc::new(ShardSet::open(folder.path()).unwrap()));
    let stream = ImageStream::in_order(store, (0..IMAGES as u32).collect(), SIDE);

    let mut batches = stream.batches(pieces(IMAGES, 0), settings(CorruptPolicy::Skip));
    let mut skipped = Vec::new();
    while let Some(batch) = batches.next().unwrap() {
        let at = |corrupt: &lcsl_data::batch::CorruptRecord| (batch.piece.epoch, corrupt.position);
        skipped.extend(batch.corrupt.iter().map(at));
        let sound = batch.piece.positions.clone().filter(|&position| position != 8);
        assert!(batch.positions.iter().copied().eq(sound));
        assert_eq!(batch.labels.len(), batch.positions.len());
        assert_eq!(batch.pixels.len(), batch.labels.len() * SIDE * SIDE * 3);
    }
    assert_eq!(skipped, [(0, 8), (1, 8)]);

    let mut batches = stream.batches(pieces(IMAGES, 0), settings(CorruptPolicy::Fail));
    assert_eq!(next(batches.as_mut()).unwrap().2.len(), BATCH as usize);
    let error = batches.next().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("record 8"), "{error}");
    assert!(batches.next().unwrap().is_none(), "nothing comes after a failure");
}
