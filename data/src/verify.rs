//! Compares every checksum of a prepared dataset, and tells everything that is wrong at once:
//! `lcsl data verify`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::decode::Decoder;
use crate::error::DataError;
use crate::prepare::arrays::{IMAGES_FILE, LABELS_FILE, read as read_arrays};
use crate::prepare::foreign::members;
use crate::prepare::image;
use crate::prepare::manifest::{DatasetManifest, SplitEntry};
use crate::prepare::names::{NAMES_FILE, source_name};
use crate::prepare::problems::DataProblems;
use crate::shard::mapping::{Access, Mapping};
use crate::shard::record::content_digest;
use crate::shard::{Check, RecordForm, ShardError, ShardSet};

/// Images that a thread takes at a time.
const CHUNK: usize = 1024;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// The bytes, with their checksums.
    Bytes,
    /// And each image is decoded.
    Pixels,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// What is wrong.
    pub problems: DataProblems,
    /// What may be: images that can be decoded and have bytes that belong to no pixel.
    pub doubts: DataProblems,
}

/// How far it has got; read it from another thread.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    /// Images that there are.
    pub total: AtomicU64,
    /// Images that have been compared.
    pub done: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
}

/// The sets of a dataset: the folder itself where it has an index, otherwise its splits.
///
/// # Errors
/// When the manifest is damaged, or there is nothing of the kind.
pub fn split_folders(folder: &Path) -> Result<(Option<DatasetManifest>, Vec<PathBuf>), DataError> {
    let manifest = DatasetManifest::read(folder)?;
    let named = ["train", "val", "test"].map(|name| folder.join(name));
    let is_set = |path: &PathBuf| path.join(crate::shard::index::INDEX_FILE).exists();
    let found: Vec<PathBuf> = match &manifest {
        Some(manifest) => manifest.parts.iter().map(|split| folder.join(&split.name)).collect(),
        None => [folder.to_owned()].into_iter().chain(named).filter(is_set).collect(),
    };
    if found.is_empty() {
        let path = folder.join(crate::shard::index::INDEX_FILE);
        return Err(ShardError::NoIndex { path }.into());
    }
    Ok((manifest, found))
}

/// Verifies the dataset, or the set of shards, in `folder`.
///
/// # Errors
/// When there is nothing to verify. What is wrong with what is there comes back.
pub fn verify(
    folder: &Path,
    thoroughness: Thoroughness,
    threads: usize,
    progress: &VerifyProgress,
) -> Result<Verified, DataError> {
    let (manifest, folders) = split_folders(folder)?;
    let found = Mutex::new(Verified::default());
    for (number, folder) in folders.iter().enumerate() {
        let entry = manifest.as_ref().map(|manifest| &manifest.parts[number]);
        match entry.filter(|entry| entry.shards == 0 && entry.images > 0) {
            Some(entry) => arrays(folder, entry, &found, progress),
            None => shards(folder, entry, (thoroughness, threads), &found, progress),
        }
    }
    Ok(found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn add(found: &Mutex<Verified>, title: &'static str, what: String) {
    locked(found).problems.add(title, what);
}

fn locked(found: &Mutex<Verified>) -> MutexGuard<'_, Verified> {
    found.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn shards(
    folder: &Path,
    entry: Option<&SplitEntry>,
    (thoroughness, threads): (Thoroughness, usize),
    found: &Mutex<Verified>,
    progress: &VerifyProgress,
) {
    let set = match ShardSet::open_index(folder, Check::Never) {
        Ok(set) => set,
        Err(error) => return add(found, "indexes that cannot be used", error.to_string()),
    };
    progress.total.fetch_add(set.len() as u64, Ordering::Relaxed);
    let usable: Vec<bool> = (0..set.shards().len())
        .map(|shard| match set.check_length(shard) {
            Ok(()) => true,
            Err(error) => {
                add(found, "shards that are missing or of another length", error.to_string());
                false
            }
        })
        .collect();
    let next = AtomicUsize::new(0);
    let next_shard = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut decoder = (thoroughness == Thoroughness::Pixels).then(image::decoder);
                loop {
                    let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if first >= set.len() {
                        break;
                    }
                    for i in first..set.len().min(first + CHUNK) {
                        compare(&set, i, &usable, decoder.as_mut(), found, progress);
                    }
                }
                loop {
                    let shard = next_shard.fetch_add(1, Ordering::Relaxed);
                    match usable.get(shard) {
                        None => break,
                        Some(true) => structure(&set, shard, found),
                        Some(false) => {}
                    }
                }
            });
        }
    });
    if let Some(entry) = entry {
        compare_with_manifest(&set, entry, found);
        compare_names(&set, found);
    }
}

fn compare(
    set: &ShardSet,
    i: usize,
    usable: &[bool],
    decoder: Option<&mut Decoder>,
    found: &Mutex<Verified>,
    progress: &VerifyProgress,
) {
    progress.done.fetch_add(1, Ordering::Relaxed);
    let record = match set.record(i) {
        Ok(record) => record,
        // A damaged block is one problem, not one for each of its records.
        Err(DataError::Shard(ShardError::Block { first, .. })) if first != i as u64 => return,
        Err(error) => return add(found, "records that are damaged", error.to_string()),
    };
    if !usable[record.shard as usize] {
        return;
    }
    let bytes = match set.bytes(i) {
        Ok(bytes) => bytes,
        Err(error) => return add(found, "images that cannot be read", error.to_string()),
    };
    progress.bytes.fetch_add(record.length, Ordering::Relaxed);
    let checksum = crc32c::crc32c(bytes);
    let source = || match source_name(set.folder(), i) {
        Some(name) => format!(", made from {name}"),
        None => String::new(),
    };
    if checksum != record.crc32c {
        let error = set.damaged(i, &record, checksum);
        add(found, "images that are damaged", format!("{error}{}", source()));
    } else if content_digest(bytes) != record.digest {
        let path = set.shard_path(record.shard);
        let what = format!("record {i} in {}, at byte {}", path.display(), record.offset);
        add(found, "images with another digest", what);
    } else if let (Some(decoder), RecordForm::Jpeg) = (decoder, set.form()) {
        let path = set.shard_path(record.shard);
        let named = |what| format!("record {i} in {}{} {what}", path.display(), source());
        match image::check(bytes, decoder) {
            Ok(0) => {}
            Ok(extraneous_bytes) => {
                let what = named(image::doubt(extraneous_bytes));
                locked(found).doubts.add("images that may be damaged", what);
            }
            Err(reason) => add(found, "images that cannot be decoded", named(reason)),
        }
    }
}

/// A shard has to be a tar, also between the images.
fn structure(set: &ShardSet, shard: usize, found: &Mutex<Verified>) {
    let path = set.shard_path(shard as u32);
    let walked = match Mapping::open(&path, Access::Sequential) {
        Ok(mapping) => members(&path, &mapping, |_| Ok(())),
        Err(source) => Err(ShardError::Io { action: "map", path: path.clone(), source }),
    };
    if let Err(error) = walked {
        add(found, "shards that are no whole tar", error.to_string());
    }
}

fn compare_with_manifest(set: &ShardSet, entry: &SplitEntry, found: &Mutex<Verified>) {
    let (mut counts, mut hasher) = (vec![0_u64; set.classes() as usize], blake3::Hasher::new());
    // Damaged records have been told about; without them nothing can be compared.
    for i in 0..set.len() {
        let Ok(record) = set.record(i) else { return };
        counts[record.label as usize] += 1;
        hasher.update(&record.label.to_le_bytes());
        hasher.update(&record.digest.to_le_bytes());
    }
    if counts != entry.counts {
        let what = format!("split {}: images per class", entry.name);
        add(found, "differences between index and manifest", what);
    }
    if hasher.finalize().to_string() != entry.digest {
        let what = format!("split {}: digest of all images", entry.name);
        add(found, "differences between index and manifest", what);
    }
}

fn compare_names(set: &ShardSet, found: &Mutex<Verified>) {
    let path = set.folder().join(NAMES_FILE);
    let lines = match fs::read_to_string(&path) {
        Ok(text) => text.lines().count(),
        Err(error) => {
            let what = format!("{}: {error}", path.display());
            return add(found, "lists of names that cannot be read", what);
        }
    };
    if lines != set.len() {
        let what = format!("{} has {lines} lines for {} images", path.display(), set.len());
        add(found, "lists of names that do not fit", what);
    }
}

fn arrays(folder: &Path, entry: &SplitEntry, found: &Mutex<Verified>, progress: &VerifyProgress) {
    progress.total.fetch_add(entry.images, Ordering::Relaxed);
    let set = match read_arrays(folder, entry.counts.len() as u32) {
        Ok(set) => set,
        Err(error) => return add(found, "arrays that cannot be used", error.to_string()),
    };
    progress.done.fetch_add(entry.images, Ordering::Relaxed);
    progress.bytes.fetch_add(set.pixels().len() as u64, Ordering::Relaxed);
    let mut hasher = blake3::Hasher::new();
    for name in [IMAGES_FILE, LABELS_FILE] {
        if let Ok(bytes) = fs::read(folder.join(name)) {
            hasher.update(&bytes);
        }
    }
    if hasher.finalize().to_string() != entry.digest {
        let what = format!("split {} in {}", entry.name, folder.display());
        add(found, "arrays that are damaged", what);
    }
}
