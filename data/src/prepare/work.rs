//! Shards written by threads, and found again after a kill.
//!
//! ```text
//! OUT/train/shard-00000.tar           whole: it was renamed after it was synced
//! OUT/train/shard-00000.records       its records, whole in the same sense, written after it
//! OUT/train/shard-00001.tar.part      was being written when the program died: begun anew
//! ```
//!
//! A file of records: records of 48 bytes; of each doubtful image its place in the split and its extraneous bytes
//! (u64 each); then how many these are, the number of images that came with more than 8 bits for each channel,
//! whether all were decoded (1) or not (0), a hash of their names and labels, and the shard's length (u64 each),
//! and the CRC-32C of everything before it (u32), little-endian. It goes when the index, which has the records, is
//! there. A shard that lacks images has none: it is tried again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::error::PrepareError;
use super::image::{Chroma, StorageSettings, Stored, decoder, store, store_pixels};
use super::manifest::write_whole;
use super::noted::{Found, NotedImage};
use super::plan::{Item, PlannedSplit};
use super::request::OnUnreadable;
use super::sources::synthetic::Drawing;
use crate::decode::Decoder;
use crate::shard::index::Shard;
use crate::shard::record::RECORD_BYTES;
use crate::shard::set::IMAGE_BYTES_MAX;
use crate::shard::writer::{Image, ShardWriter};
use crate::shard::{Record, ShardError};

/// How far a preparation has got; read it from another thread.
#[derive(Debug, Default)]
pub struct PrepareProgress {
    /// Images that there will be.
    pub total: AtomicU64,
    /// Images that are done, those of an earlier attempt among them.
    pub done: AtomicU64,
    /// Images that an earlier attempt had done.
    pub found: AtomicU64,
    /// Bytes stored.
    pub bytes: AtomicU64,
}

/// Where images come from.
#[derive(Debug)]
pub enum ImageOrigin {
    /// Files, by their names from this folder.
    Files(PathBuf),
    /// Nowhere: they are drawn.
    Drawn(Drawing),
}

/// A shard and its records.
#[derive(Clone, Debug)]
pub struct Written {
    /// As the index will name it.
    pub shard: Shard,
    /// In the order of the images, without those that could not be read.
    pub records: Vec<Record>,
    /// Images that came with more than 8 bits for each channel.
    pub deep: u64,
    /// Images with bytes that belong to no pixel: their places in the split, and how many bytes.
    pub doubtful: Vec<(u64, u64)>,
}

/// What all threads work by.
pub struct ShardWork<'a> {
    /// The images of each split.
    pub splits: &'a [PlannedSplit],
    /// Where they come from.
    pub images: &'a ImageOrigin,
    /// What is stored of them.
    pub encoding: StorageSettings,
    /// What is done about images that cannot be read.
    pub on_unreadable: OnUnreadable,
    /// Where to: each split has a folder there, which exists.
    pub out: &'a Path,
    /// Images of a shard.
    pub images_per_shard: usize,
    /// Told about every image.
    pub progress: &'a PrepareProgress,
}

/// The shard `number` of the split in `folder`, and its file of records.
pub(super) fn shard_paths(folder: &Path, number: usize) -> (PathBuf, PathBuf) {
    let name = |extension| folder.join(format!("shard-{number:05}.{extension}"));
    (name("tar"), name("records"))
}

impl ShardWork<'_> {
    /// Writes every shard that is not there yet; returns those of each split in order, and the images that could
    /// not be read. Where these are not to be left out, their shards are missing.
    ///
    /// # Errors
    /// When the disk cannot be written to.
    pub(super) fn run(
        &self,
        threads: usize,
    ) -> Result<(Vec<Vec<Written>>, Vec<NotedImage>), PrepareError> {
        let jobs: Vec<(usize, usize)> = self
            .splits
            .iter()
            .enumerate()
            .flat_map(|(part, images)| {
                let shards = images.items.len().div_ceil(self.images_per_shard);
                (0..shards).map(move |shard| (part, shard))
            })
            .collect();
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let unreadable = Found::default();
        let results: Mutex<Vec<(usize, usize, Written)>> = Mutex::new(Vec::new());
        let refused = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, jobs.len().max(1)) {
                scope.spawn(|| {
                    let mut decoder = decoder();
                    while !stop.load(Ordering::Relaxed) {
                        let Some(&(part, shard)) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
                        else {
                            break;
                        };
                        match self.shard(part, shard, &mut decoder, &unreadable) {
                            Ok(Some(written)) => {
                                locked(&results).push((part, shard, written));
                            }
                            // What it lacks is noted down; the other shards are still of use.
                            Ok(None) => {}
                            Err(error) => {
                                stop.store(true, Ordering::Relaxed);
                                locked(&refused).get_or_insert(error);
                            }
                        }
                    }
                });
            }
        });
        if let Some(error) = locked(&refused).take() {
            return Err(PrepareError::Disk(error));
        }
        let mut results = std::mem::take(&mut *locked(&results));
        results.sort_by_key(|&(part, shard, _)| (part, shard));
        let mut splits = vec![Vec::new(); self.splits.len()];
        for (part, _, written) in results {
            splits[part].push(written);
        }
        Ok((splits, unreadable.into_sorted()))
    }

    /// One shard, found or written; `None` when images of it cannot be read and are not to be left out.
    fn shard(
        &self,
        part: usize,
        number: usize,
        decoder: &mut Decoder,
        unreadable: &Found,
    ) -> Result<Option<Written>, ShardError> {
        let PlannedSplit { name, items } = &self.splits[part];
        let first = number * self.images_per_shard;
        let items = &items[first..items.len().min(first + self.images_per_shard)];
        let (path, records_path) = shard_paths(&self.out.join(name), number);
        let decoded = self.encoding.decode || matches!(self.images, ImageOrigin::Drawn(_));
        if let Some(written) = find(&path, &records_path, items, decoded) {
            let bytes = written.records.iter().map(|record| record.length).sum();
            self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.progress.found.fetch_add(items.len() as u64, Ordering::Relaxed);
            self.progress.done.fetch_add(items.len() as u64, Ordering::Relaxed);
            return Ok(Some(written));
        }
        let mut writer = ShardWriter::create(&path, number as u32, self.encoding.form)?;
        let mut records = Vec::with_capacity(items.len());
        let (mut deep, mut doubtful) = (0, Vec::new());
        for (place, item) in items.iter().enumerate() {
            match self.load(part, item, decoder) {
                Ok(Stored { bytes, width, height, flags, was_deep, extraneous_bytes }) => {
                    deep += u64::from(was_deep);
                    if extraneous_bytes > 0 {
                        doubtful.push(((first + place) as u64, extraneous_bytes));
                    }
                    let key = (first + place) as u64;
                    let label = item.label;
                    let image = Image { key, bytes: &bytes, label, width, height, flags };
                    records.push(writer.append(&image)?);
                    self.progress.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Err(what) => unreadable.add(NotedImage { part, place: first + place, what }),
            }
            self.progress.done.fetch_add(1, Ordering::Relaxed);
        }
        let is_whole = records.len() == items.len();
        if !is_whole && self.on_unreadable == OnUnreadable::Fail {
            return Ok(None);
        }
        let shard = writer.finish()?;
        let written = Written { shard, records, deep, doubtful };
        if !is_whole {
            return Ok(Some(written));
        }
        let content = records_file(&written, items, decoded);
        write_whole(&records_path, &content).map_err(|source| ShardError::Io {
            action: "write",
            path: records_path,
            source,
        })?;
        Ok(Some(written))
    }

    fn load(&self, part: usize, item: &Item, decoder: &mut Decoder) -> Result<Stored, String> {
        match self.images {
            ImageOrigin::Files(root) => {
                let path = root.join(&item.name);
                let read = || -> io::Result<Vec<u8>> {
                    if fs::metadata(&path)?.len() > IMAGE_BYTES_MAX {
                        return Err(io::ErrorKind::FileTooLarge.into());
                    }
                    fs::read(&path)
                };
                let file = read().map_err(|error| format!("cannot be read: {error}"))?;
                store(file, &self.encoding, decoder)
            }
            ImageOrigin::Drawn(drawing) => {
                store_pixels(&drawing.draw(part as u64 + 1, item), Chroma::Quarter, &self.encoding)
            }
        }
    }
}

/// A thread that panicked has ended the whole scope: nobody sees what it left behind.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn records_file(written: &Written, items: &[Item], decoded: bool) -> Vec<u8> {
    let mut bytes: Vec<u8> = written.records.iter().flat_map(Record::to_bytes).collect();
    let pairs = written.doubtful.iter().flat_map(|&(place, extraneous)| [place, extraneous]);
    let numbers = [
        written.doubtful.len() as u64,
        written.deep,
        u64::from(decoded),
        hash_of(items),
        written.shard.length,
    ];
    for number in pairs.chain(numbers) {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Says which images a shard holds: the first bytes of BLAKE3 over names and labels.
fn hash_of(items: &[Item]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for item in items {
        hasher.update(&(item.name.len() as u64).to_le_bytes());
        hasher.update(item.name.as_bytes());
        hasher.update(&item.label.to_le_bytes());
    }
    let hash = hasher.finalize();
    u64::from_le_bytes(std::array::from_fn(|byte| hash.as_bytes()[byte]))
}

/// The shard of an earlier attempt, if it is whole, holds these items and, where that is asked, all of them
/// were decoded.
fn find(path: &Path, records_path: &Path, items: &[Item], decode: bool) -> Option<Written> {
    let bytes = fs::read(records_path).ok()?;
    let (before, checksum) = bytes.split_last_chunk::<4>()?;
    let (records, numbers) = before.split_at_checked(items.len() * RECORD_BYTES)?;
    let (numbers, rest) = numbers.as_chunks::<8>();
    let (pairs, numbers) = numbers.split_last_chunk::<5>()?;
    let [doubtful, deep, decoded, hash, length] = numbers.map(u64::from_le_bytes);
    if crc32c::crc32c(before) != u32::from_le_bytes(*checksum)
        || !rest.is_empty()
        || pairs.len() as u64 != doubtful.saturating_mul(2)
        || hash != hash_of(items)
        || (decode && decoded == 0)
        || fs::metadata(path).ok()?.len() != length
    {
        return None;
    }
    let (chunks, _) = records.as_chunks::<RECORD_BYTES>();
    let records: Vec<Record> = chunks.iter().map(Record::from_bytes).collect();
    let name = path.file_name()?.to_str()?.to_owned();
    let (pairs, _) = pairs.as_chunks::<2>();
    let doubtful = pairs.iter().map(|pair| pair.map(u64::from_le_bytes).into()).collect();
    Some(Written { shard: Shard { name, length }, records, deep, doubtful })
}
