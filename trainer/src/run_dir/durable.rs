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
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
