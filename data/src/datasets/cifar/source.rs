//! Where the files of CIFAR are read from: the unpacked folder, or the archive as it was
//! downloaded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use md5::{Digest, Md5};

use super::forms::CifarFormat;
use crate::error::{Archive, DataError};

/// No file of either dataset is larger than this; whatever lies behind it is not read.
const FILE_BYTES_MAX: u64 = 1 << 28;

/// The files of one dataset.
pub(super) enum CifarFiles {
    /// Read from here when asked for.
    Folder(PathBuf),
    /// Decompressed in memory; nothing is written to disk. The keys are file names without their
    /// folder.
    Archive(PathBuf, BTreeMap<String, Vec<u8>>),
}

impl CifarFiles {
    /// Looks for the folder of `form` under `root`, then for its archive, which must be the
    /// official one.
    pub(super) fn find(root: &Path, form: &CifarFormat) -> Result<Self, DataError> {
        let folder = root.join(form.folder);
        if folder.is_dir() {
            return Ok(Self::Folder(folder));
        }
        let archive = root.join(form.archive_file);
        if archive.is_file() {
            check_md5(&archive, form)?;
            return read_archive(&archive, form);
        }
        let (dataset, source_archive) = (form.title, form.archive);
        match form.pickled.map(|name| root.join(name)).into_iter().find(|path| path.exists()) {
            Some(path) => Err(DataError::PickleOnly { dataset, path, source_archive }),
            None => Err(DataError::Missing { dataset, path: archive, source_archive }),
        }
    }

    /// The content of `file`, and its path for messages. Each file can be read once.
    pub(super) fn read(
        &mut self,
        file: &str,
        form: &CifarFormat,
    ) -> Result<(PathBuf, Vec<u8>), DataError> {
        let missing = |path| DataError::Missing {
            dataset: form.title,
            path,
            // The folder is preferred to the archive, so an archive beside it would not help.
            source_archive: Archive { instruction: "unpack it again", ..form.archive },
        };
        match self {
            Self::Folder(folder) => {
                let path = folder.join(file);
                match File::open(&path) {
                    Ok(content) => Ok((path.clone(), read_bounded(&path, content)?)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing(path)),
                    Err(source) => Err(DataError::Read { path, offset: 0, source }),
                }
            }
            Self::Archive(archive, files) => {
                let path = archive.join(form.folder).join(file);
                let content = files.remove(file).ok_or_else(|| missing(path.clone()))?;
                Ok((path, content))
            }
        }
    }
}

/// Decompresses the files that `form` names. An archive that passed [`check_md5`] is not expected
/// to fail here, but an archive is never trusted with where it writes: members are matched by name
/// and kept in memory.
fn read_archive(path: &Path, form: &CifarFormat) -> Result<CifarFiles, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), offset: 0, source };
    let file = File::open(path).map_err(failed)?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let member = entry.path().map_err(failed)?.into_owned();
        let name = wanted(form).find(|name| member == Path::new(form.folder).join(name));
        if let Some(name) = name {
            files.insert(name.to_owned(), read_bounded(&path.join(&member), entry)?);
        }
    }
    Ok(CifarFiles::Archive(path.to_owned(), files))
}

/// Every file that is read of `form`.
fn wanted(form: &CifarFormat) -> impl Iterator<Item = &'static str> {
    form.train_files.iter().copied().chain([form.test_file, form.names_file])
}

fn read_bounded(path: &Path, content: impl Read) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    match content.take(FILE_BYTES_MAX).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(source) => {
            Err(DataError::Read { path: path.to_owned(), offset: bytes.len() as u64, source })
        }
    }
}

/// Refuses an archive that is not, byte for byte, the one that its authors published.
fn check_md5(path: &Path, form: &CifarFormat) -> Result<(), DataError> {
    let found = md5(path)?;
    if found == form.archive.md5 {
        return Ok(());
    }
    Err(DataError::WrongArchive { path: path.to_owned(), found, source_archive: form.archive })
}

/// The MD5 of the file at `path`, in hexadecimal.
pub(super) fn md5(path: &Path) -> Result<String, DataError> {
    let failed = |offset, source| DataError::Read { path: path.to_owned(), offset, source };
    let mut file = File::open(path).map_err(|source| failed(0, source))?;
    let mut hasher = Md5::new();
    let mut block = vec![0; 1 << 16];
    let mut offset = 0;
    loop {
        let count = file.read(&mut block).map_err(|source| failed(offset, source))?;
        if count == 0 {
            break;
        }
        hasher.update(&block[..count]);
        offset += count as u64;
    }
    let mut text = String::with_capacity(32);
    for byte in hasher.finalize() {
        write!(text, "{byte:02x}").expect("writing into a String does not fail");
    }
    Ok(text)
}
