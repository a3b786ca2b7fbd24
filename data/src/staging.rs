//! A prepared dataset, copied to a disk that is nearer: whole files, one after the other, and compared with their
//! checksums when all are there.
//!
//! A copy that was interrupted goes on: files have their names when they are whole, and a mark says when all of them
//! were compared. Two that copy to one place take turns.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use crate::error::DataError;
use crate::verify::{Thoroughness, Verified, VerifyProgress, verify};

/// Says that all files were copied and compared.
const MARK: &str = ".copied";
/// Held by whoever copies.
const LOCK: &str = ".copying";

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum StagingError {
    /// The disk did not do its file.
    #[error("cannot {action} {}: {source}", path.display())]
    Disk {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was copied is not what its checksums say.
    #[error("the copy in {} was damaged, and is removed: {what}", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Everything that is wrong with it.
        what: String,
    },
    /// It cannot be compared.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// A file that has to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StagedFile {
    /// Below the dataset's folder.
    name: PathBuf,
    bytes: u64,
}

/// A copy that is to be made.
#[derive(Debug)]
pub struct Staging {
    source: PathBuf,
    target: PathBuf,
    /// All files.
    files: Vec<StagedFile>,
    /// Places of those that are not there yet.
    missing: Vec<usize>,
    /// Whether all are there, and were compared before. A cleaner of scratch disks may have removed some since.
    is_done: bool,
    /// Others wait until it is dropped.
    _lock: File,
}

impl Staging {
    /// Looks what of the dataset in the folder `source` lacks in the folder `target`, which is made. Waits for whoever
    /// copies to there.
    ///
    /// # Errors
    /// When one of the folders cannot be read, or the target not be made.
    pub fn begin(source: &Path, target: &Path) -> Result<Self, StagingError> {
        fs::create_dir_all(target).map_err(disk("create", target))?;
        let path = target.join(LOCK);
        let lock = File::create(&path).map_err(disk("create", &path))?;
        lock.lock().map_err(disk("lock", &path))?;
        let mut files = Vec::new();
        list(source, Path::new(""), &mut files)?;
        let is_there = |file: &StagedFile| {
            let there = fs::metadata(target.join(&file.name));
            there.is_ok_and(|metadata| metadata.len() == file.bytes)
        };
        let missing: Vec<usize> =
            (0..files.len()).filter(|place| !is_there(&files[*place])).collect();
        let is_done = missing.is_empty() && target.join(MARK).exists();
        let (source, target) = (source.to_owned(), target.to_owned());
        Ok(Self { source, target, files, missing, is_done, _lock: lock })
    }

    /// How many files have to be copied, and their bytes.
    pub fn missing(&self) -> (usize, u64) {
        (self.missing.len(), self.missing.iter().map(|place| self.files[*place].bytes).sum())
    }

    /// Copies them, and compares every checksum of the copy on so many threads, unless that was done before. `done` is
    /// called behind each file, and every second in which checksums of images were compared.
    ///
    /// # Errors
    /// When a file cannot be copied, or the copy is not what its checksums say.
    pub fn finish(&self, threads: usize, done: &(dyn Fn() + Sync)) -> Result<(), StagingError> {
        if self.is_done {
            return Ok(());
        }
        for file in self.missing.iter().map(|place| &self.files[*place]) {
            copy(&self.source.join(&file.name), &self.target.join(&file.name))?;
            done();
        }
        let verified = compare(&self.target, threads, done)?;
        if !verified.problems.is_empty() {
            // Files of the right length would be taken for good the next time.
            for file in &self.files {
                let _ = fs::remove_file(self.target.join(&file.name)); // else it is named again
            }
            let what = verified.problems.to_string();
            return Err(StagingError::Damaged { path: self.target.clone(), what });
        }
        let mark = self.target.join(MARK);
        File::create(&mark).and_then(|file| file.sync_all()).map_err(disk("create", &mark))
    }
}

/// Compares a copy with its checksums, and calls `done` every second in which some were.
fn compare(
    target: &Path,
    threads: usize,
    done: &(dyn Fn() + Sync),
) -> Result<Verified, StagingError> {
    let (progress, over) = (VerifyProgress::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let telling = scope.spawn(|| {
            let mut told = 0;
            while !over.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_secs(1));
                let compared = progress.done.load(Ordering::Relaxed);
                if compared > told {
                    told = compared;
                    done();
                }
            }
        });
        let verified = verify(target, Thoroughness::Bytes, threads, &progress);
        over.store(true, Ordering::Relaxed);
        telling.thread().unpark();
        Ok(verified?)
    })
}

fn disk<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StagingError + 'a {
    move |source| StagingError::Disk { action, path: path.to_owned(), source }
}

/// Adds the files in `folder` below `root`, in the order of their names.
fn list(root: &Path, folder: &Path, files: &mut Vec<StagedFile>) -> Result<(), StagingError> {
    let path = root.join(folder);
    let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(disk("read", &path))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = folder.join(entry.file_name());
        let metadata = fs::metadata(entry.path()).map_err(disk("read", &entry.path()))?;
        if metadata.is_dir() {
            list(root, &name, files)?;
        } else if metadata.is_file() {
            files.push(StagedFile { name, bytes: metadata.len() });
        }
    }
    Ok(())
}

/// Copies a file beside its name, and gives it its name when all of it is on the disk.
fn copy(from: &Path, to: &Path) -> Result<(), StagingError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(disk("create", folder))?;
    }
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let beside = to.with_file_name(format!(".{name}.part"));
    let mut source = File::open(from).map_err(disk("read", from))?;
    let mut target = File::create(&beside).map_err(disk("create", &beside))?;
    let copied = io::copy(&mut source, &mut target).and_then(|_| target.flush());
    copied.and_then(|()| target.sync_all()).map_err(disk("write", &beside))?;
    fs::rename(&beside, to).map_err(disk("rename to", to))
}
