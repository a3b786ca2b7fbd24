//! Shards written by threads, and found again after a kill.
//!
//! ```text
//! OUT/train/shard-00000.tar           whole: it was renamed after it was synced
//! OUT/train/shard-00000.records       its records, whole in the same sense, written after it
//! OUT/train/shard-00001.tar.part      was being written when the program died: begun anew
//! ```
//!
//! A file of records: records of 48 bytes, then the shard's length (u64) and the CRC-32C of
//! everything before it (u32), little-endian. It goes when the index, which has it all, is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::error::PrepareError;
use super::image::{Chroma, StorageSettings, Stored, store, store_pixels};
use super::manifest::write_whole;
use super::plan::{Item, PlannedSplit};
use super::problems::DataProblems;
use super::sources::synthetic::Drawing;
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
    /// Images with more than 8 bits for each channel, of those that this attempt has read.
    pub deep: AtomicU64,
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
    /// In the order of the images.
    pub records: Vec<Record>,
}

/// What all threads work by.
pub struct ShardWork<'a> {
    /// The images of each split.
    pub splits: &'a [PlannedSplit],
    /// Where they come from.
    pub images: &'a ImageOrigin,
    /// What is stored of them.
    pub encoding: StorageSettings,
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
    /// Writes every shard that is not there yet; returns those of each split in order.
    ///
    /// # Errors
    /// When the disk cannot be written to; or every image that cannot be stored.
    pub fn run(&self, threads: usize, root: &Path) -> Result<Vec<Vec<Written>>, PrepareError> {
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
        let problems = Mutex::new(DataProblems::default());
        let results: Mutex<Vec<(usize, usize, Written)>> = Mutex::new(Vec::new());
        let refused = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, jobs.len().max(1)) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let Some(&(part, shard)) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
                        else {
                            break;
                        };
                        match self.shard(part, shard, &problems) {
                            Ok(Some(written)) => {
                                locked(&results).push((part, shard, written));
                            }
                            // Its problems are noted down; the other shards are still of use.
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
        let problems = std::mem::take(&mut *locked(&problems));
        if !problems.is_empty() {
            let hint = "mend or fetch these files again, then give the same command: it goes on";
            return Err(PrepareError::Problems { root: root.to_owned(), problems, hint });
        }
        let mut results = std::mem::take(&mut *locked(&results));
        results.sort_by_key(|&(part, shard, _)| (part, shard));
        let mut splits = vec![Vec::new(); self.splits.len()];
        for (part, _, written) in results {
            splits[part].push(written);
        }
        Ok(splits)
    }

    /// One shard, found or written; `None` when images of it cannot be stored.
    fn shard(
        &self,
        part: usize,
        number: usize,
        problems: &Mutex<DataProblems>,
    ) -> Result<Option<Written>, ShardError> {
        let PlannedSplit { name, items } = &self.splits[part];
        let first = number * self.images_per_shard;
        let items = &items[first..items.len().min(first + self.images_per_shard)];
        let (path, records_path) = shard_paths(&self.out.join(name), number);
        if let Some(written) = find(&path, &records_path, number, items) {
            let bytes = written.records.iter().map(|record| record.length).sum();
            self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.progress.found.fetch_add(items.len() as u64, Ordering::Relaxed);
            self.progress.done.fetch_add(items.len() as u64, Ordering::Relaxed);
            return Ok(Some(written));
        }
        let mut writer = ShardWriter::create(&path, number as u32, self.encoding.form)?;
        let mut records = Vec::with_capacity(items.len());
        let mut whole = true;
        for (place, item) in items.iter().enumerate() {
            match self.load(part, item) {
                Ok(Stored { bytes, width, height, flags, was_deep }) => {
                    self.progress.deep.fetch_add(u64::from(was_deep), Ordering::Relaxed);
                    let key = (first + place) as u64;
                    let label = item.label;
                    let image = Image { key, bytes: &bytes, label, width, height, flags };
                    records.push(writer.append(&image)?);
                    self.progress.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Err(what) => {
                    whole = false;
                    let what = format!("{} {what}", item.name);
                    locked(problems).add("images that cannot be stored", what);
                }
            }
            self.progress.done.fetch_add(1, Ordering::Relaxed);
        }
        if !whole {
            return Ok(None);
        }
        let shard = writer.finish()?;
        let content = records_file(&records, shard.length);
        write_whole(&records_path, &content).map_err(|source| ShardError::Io {
            action: "write",
            path: records_path,
            source,
        })?;
        Ok(Some(Written { shard, records }))
    }

    fn load(&self, part: usize, item: &Item) -> Result<Stored, String> {
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
                store(file, &self.encoding)
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

fn records_file(records: &[Record], length: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = records.iter().flat_map(Record::to_bytes).collect();
    bytes.extend_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The shard of an earlier attempt, if it is whole and holds these items.
fn find(path: &Path, records_path: &Path, number: usize, items: &[Item]) -> Option<Written> {
    let bytes = fs::read(records_path).ok()?;
    let (before, checksum) = bytes.split_last_chunk::<4>()?;
    let (records, length) = before.split_last_chunk::<8>()?;
    let length = u64::from_le_bytes(*length);
    if crc32c::crc32c(before) != u32::from_le_bytes(*checksum)
        || records.len() != items.len() * RECORD_BYTES
        || fs::metadata(path).ok()?.len() != length
    {
        return None;
    }
    let (chunks, _) = records.as_chunks::<RECORD_BYTES>();
    let records: Vec<Record> = chunks.iter().map(Record::from_bytes).collect();
    let fits = |(record, item): (&Record, &Item)| {
        record.label == item.label && record.shard == number as u32
    };
    let name = path.file_name()?.to_str()?.to_owned();
    let fits = records.iter().zip(items).all(fits);
    fits.then_some(Written { shard: Shard { name, length }, records })
}
