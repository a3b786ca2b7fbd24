//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Something that the disk did not do.
#[derive(Debug, Error)]
#[error("cannot {action} {path}: {source}")]
pub struct DiskError {
    /// What was tried: `write`, `read`, `create`, …
    pub action: &'static str,
    /// Where.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Adds what was tried, and where, to an error of the system.
pub trait DiskContext<T> {
    /// `action` completes the sentence "cannot … PATH".
    fn or_disk(self, action: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> DiskContext<T> for io::Result<T> {
    fn or_disk(self, action: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { action, path: path.to_owned(), source })
    }
}

/// Writes a file beside its name, syncs it and renames it: a reader sees the old content or the new
/// one, also after a power cut. Where that fails nothing is left beside it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let beside = beside(path);
    let write = || {
        let mut file = File::create(&beside).or_disk("create", &beside)?;
        file.write_all(bytes).or_disk("write", &beside)?;
        file.sync_all().or_disk("sync", &beside)?;
        fs::rename(&beside, path).or_disk("rename to", path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    sync_directory_of(path)
}

/// Whether the disk of `folder` has room for so many bytes in a few files; `action` completes the sentence "cannot …
/// FOLDER". A disk that does not say how much room it has counts as large enough.
///
/// # Errors
/// Of the kind that writing them would end with.
pub fn require_room(folder: &Path, bytes: u64, action: &'static str) -> Result<(), DiskError> {
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let lacks = if disk.f_blocks > 0 && free < bytes {
        format!("it takes {} MiB, and the disk has {} MiB left", bytes.div_ceil(MIB), free / MIB)
    } else if disk.f_files > 0 && disk.f_favail < FILES {
        format!("the disk has room for {} more files", disk.f_favail)
    } else {
        return Ok(());
    };
    let source = io::Error::new(io::ErrorKind::StorageFull, lacks);
    Err(DiskError { action, path: folder.to_owned(), source })
}

const MIB: u64 = 1 << 20;

/// Whoever writes something needs room for so many files: hidden ones beside those that are replaced, and folders.
const FILES: u64 = 8;

/// A hidden name in the same directory that is nobody else's: what is written there replaces `path` by a
/// rename.
pub fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Makes a rename in the directory of `path` durable.
pub fn sync_directory_of(path: &Path) -> Result<(), DiskError> {
    // A bare file name has the empty path as its parent.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    File::open(directory).and_then(|file| file.sync_all()).or_disk("sync", directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `lcsl export RUN model.safetensors` wrote its file and then ended with "cannot sync": the parent of
    /// a bare file name is the empty path, which is no directory.
    #[test]
    fn the_directory_of_a_bare_file_name_is_the_current_one() {
        sync_directory_of(Path::new("model.safetensors")).unwrap();
    }

    #[test]
    fn room_is_asked_for_before_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        require_room(folder.path(), 1, "write to").unwrap();
        let error = require_room(folder.path(), u64::MAX, "write a checkpoint to").unwrap_err();
        let (said, place) = (error.to_string(), folder.path().display().to_string());
        let begins = format!(
            "cannot write a checkpoint to {place}: it takes 17592186044416 MiB, and the disk has "
        );
        assert!(said.starts_with(&begins), "{said}");
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
