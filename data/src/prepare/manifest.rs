//! `manifest.json`: what a prepared dataset is, for people and programs.
//!
//! It is written last, so a folder that has one is whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::duplicates::Duplicates;
use super::error::PrepareError;
use crate::shard::ShardError;

/// The file's name in the folder of a prepared dataset.
pub const MANIFEST_FILE: &str = "manifest.json";
/// A manifest is never longer than this.
const BYTES_MAX: u64 = 64 << 20;
/// The version that this program writes and reads.
const FORMAT: u32 = 1;

/// What a prepared dataset is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// Version of this file.
    pub format: u32,
    /// The dataset's name.
    pub dataset: String,
    /// `jpeg`, `raw` or `arrays`.
    pub form: String,
    /// Everything else that was asked for, in words.
    pub settings: String,
    /// What it was made from.
    pub source: ManifestSource,
    /// The name of each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// Its splits, each in the folder of its name.
    pub parts: Vec<SplitEntry>,
    /// Images that are stored more than once.
    pub duplicates: Duplicates,
    /// Images that could not be read and were left out: `unreadable.txt` beside this file lists them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// What was unusual.
    pub warnings: Vec<String>,
    /// Says whether another preparation would store the same.
    pub fingerprint: String,
}

/// What a dataset was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestSource {
    /// The folder, as it was given.
    pub root: String,
    /// The lists that were followed.
    pub lists: Vec<ListFile>,
}

/// A list that was followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListFile {
    /// Its file, from the root.
    pub file: String,
    /// How many images it names.
    pub entries: u64,
    /// What git calls its content: SHA-1 over `blob `, its length, a zero byte and its bytes.
    pub git_blob: String,
}

/// One split of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitEntry {
    /// `train`, `val` or `test`.
    pub name: String,
    /// Number of images.
    pub images: u64,
    /// Number of shards; 0 for arrays.
    pub shards: u64,
    /// Bytes of all images.
    pub bytes: u64,
    /// Images of each class.
    pub counts: Vec<u64>,
    /// BLAKE3 over, for each image in order, its label (u32) and content digest (u64),
    /// little-endian; as hexadecimal digits. For arrays: over both files.
    pub digest: String,
}

impl DatasetManifest {
    /// An empty manifest of this version.
    pub fn new(dataset: &str, form: &str, settings: String, source: ManifestSource) -> Self {
        Self {
            format: FORMAT,
            dataset: dataset.to_owned(),
            form: form.to_owned(),
            settings,
            source,
            class_names: Vec::new(),
            parts: Vec::new(),
            duplicates: Duplicates::default(),
            left_out: 0,
            warnings: Vec::new(),
            fingerprint: String::new(),
        }
    }

    /// Reads the manifest of the dataset in `folder`; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn read(folder: &Path) -> Result<Option<Self>, ShardError> {
        let path = folder.join(MANIFEST_FILE);
        let refused = |what: String| ShardError::Head { path: path.clone(), what };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > BYTES_MAX => {
                return Err(refused(format!("it has {} bytes", metadata.len())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(_) | Err(_) => {}
        }
        let text = fs::read(&path).map_err(|source| ShardError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        let manifest = Self::parse(&text).map_err(refused)?;
        Ok(Some(manifest))
    }

    /// Reads a manifest's text.
    ///
    /// # Errors
    /// In words, when it cannot be understood or contradicts itself.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = lcsl_text::decode(text).map_err(|why| why.to_string())?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!("it is of version {}", manifest.format));
        }
        let classes = manifest.class_names.len();
        for part in &manifest.parts {
            let sum = part.counts.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count));
            if !matches!(part.name.as_str(), "train" | "val" | "test") {
                return Err(format!("it has a part {:?}", part.name));
            }
            if part.counts.len() != classes || sum != Some(part.images) {
                return Err(format!("the counts of part {} do not add up", part.name));
            }
        }
        Ok(manifest)
    }

    /// Writes it into `folder`: beside its name, synced, then renamed.
    pub fn write(&self, folder: &Path) -> Result<(), PrepareError> {
        let path = folder.join(MANIFEST_FILE);
        let mut text = serde_json::to_vec_pretty(self).expect("plain values become JSON");
        text.push(b'\n');
        write_whole(&path, &text).map_err(|error| PrepareError::disk("write", &path, error))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Writes a file beside its name, syncs it and renames it: a reader sees the old or the new. Where that
/// fails nothing is left beside it, which makes room where the disk is full.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: where the disk was full when the records of a shard were written, and not when its images
    /// were, a file that nobody reads stayed there and kept the room that the next attempt needs.
    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard-00000.records");
        fs::create_dir(&path).unwrap(); // a file cannot take its name
        write_whole(&path, b"records").unwrap_err();
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(left, [path]);
    }
}
