//! What can be wrong with a dataset on disk, where, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use lcsl_text::counted;

use crate::shard::ShardError;

/// A dataset cannot be used. Every message names the file, and the place in it where that helps.
///
/// Sizes and offsets are in bytes of the file's content; for a compressed file that is the content
/// once decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// None of the dataset's files was found.
    #[error("{dataset} was not found at {}", path.display())]
    Missing {
        /// The dataset's name as a person writes it.
        dataset: &'static str,
        /// Where the first missing file or folder was expected.
        path: PathBuf,
        /// Where the dataset can be had.
        source_archive: Archive,
    },
    /// The dataset is there, but as the Python archive.
    #[error("{} holds {dataset} as pickled Python objects, which are never read", path.display())]
    PickleOnly {
        /// The dataset's name as a person writes it.
        dataset: &'static str,
        /// The Python folder or archive that was found.
        path: PathBuf,
        /// Where the readable form can be had.
        source_archive: Archive,
    },
    /// The operating system or the decompressor failed.
    #[error("cannot read {} at byte {offset}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// How far reading had got.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The first four bytes do not announce the expected kind of file.
    #[error("{} begins with {found:#010x} instead of {expected:#010x}", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The magic number of this kind of file.
        expected: u32,
        /// What the file begins with.
        found: u32,
    },
    /// The header announces more than a dataset of this kind can hold.
    #[error(
        "{} announces {announced} bytes, more than the limit of {limit}",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes announced, as far as they can be counted.
        announced: u128,
        /// The largest number accepted.
        limit: u64,
    },
    /// The file ends early.
    #[error("{} ends after {found} of {expected} bytes", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that there should be.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The file goes on after its last record.
    #[error(
        "{} has {} after its last record, at byte {expected}",
        path.display(),
        counted(*extra, "byte")
    )]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Bytes that there should be.
        expected: u64,
        /// Bytes beyond them.
        extra: u64,
    },
    /// The files of one split disagree about the number of images.
    #[error(
        "{} has {}, but {} has {}",
        images_path.display(),
        counted(*images, "image"),
        labels_path.display(),
        counted(*labels, "label")
    )]
    CountsDiffer {
        /// The file of images.
        images_path: PathBuf,
        /// The file of labels.
        labels_path: PathBuf,
        /// Images found.
        images: u64,
        /// Labels found.
        labels: u64,
    },
    /// A label names no class.
    #[error(
        "{} has label {label} at byte {offset}, but there are only {classes} classes",
        path.display()
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// Where the label stands.
        offset: u64,
        /// The label found.
        label: u32,
        /// The number of classes.
        classes: u32,
    },
    /// The images are not of the dataset's size.
    #[error(
        "{} holds images of {} by {} pixels instead of {} by {}",
        path.display(),
        found.0,
        found.1,
        expected.0,
        expected.1
    )]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// Rows and columns that an image should have.
        expected: (u32, u32),
        /// Rows and columns in the file's header.
        found: (u32, u32),
    },
    /// The list of class names is not of the dataset's length.
    #[error("{} has {found} class names instead of {expected}", path.display())]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// Classes of the dataset.
        expected: usize,
        /// Names found.
        found: usize,
    },
    /// An archive is not the official one.
    #[error("{} has MD5 {found} instead of {}", path.display(), source_archive.md5)]
    WrongArchive {
        /// The archive.
        path: PathBuf,
        /// Its MD5, in hexadecimal.
        found: String,
        /// Where the official archive can be had.
        source_archive: Archive,
    },
    /// A dataset that lies in shards has not been prepared.
    #[error("{dataset} has not been prepared: there is no manifest.json in {}", path.display())]
    NotPrepared {
        /// The dataset's name as it is written on a command line.
        dataset: &'static str,
        /// Where it is expected.
        path: PathBuf,
    },
    /// A dataset lies in shards, and images in memory were asked for.
    #[error("{dataset} lies in shards at {}, and does not fit into memory", path.display())]
    InShards {
        /// The dataset's name as it is written on a command line.
        dataset: &'static str,
        /// Where it lies.
        path: PathBuf,
    },
    /// A prepared dataset is there, but is not what was asked for.
    #[error("{} {what}", path.display())]
    Unsuitable {
        /// Its folder.
        path: PathBuf,
        /// What it is, or lacks; goes on after the folder.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The bytes of an image are there, but they are no image that is accepted.
    #[error("{place}: {what}")]
    Image {
        /// File, or shard with record and offset.
        place: String,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// An index or a shard cannot be used.
    #[error(transparent)]
    Shard(#[from] ShardError),
}

/// An official archive: where it lies and how to recognise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The address to fetch it from.
    pub address: &'static str,
    /// The MD5 of the file, in hexadecimal.
    pub md5: &'static str,
    /// What to do with it, and any other way to get the dataset.
    pub instruction: &'static str,
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fetch {} (MD5 {}) and {}", self.address, self.md5, self.instruction)
    }
}

impl DataError {
    /// Whether one image is at fault, and the others of its shard or folder may be good: its bytes are
    /// not those that were written, or no image that is accepted. A damaged index or a missing shard is
    /// more than that.
    pub fn is_of_one_record(&self) -> bool {
        matches!(self, Self::Image { .. } | Self::Shard(ShardError::Payload { .. }))
    }

    /// What to do about it, where more can be said than the message does.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Shard(error) => error.hint(),
            Self::Unsuitable { hint, .. } | Self::Image { hint, .. } => Some((*hint).to_owned()),
            Self::NotPrepared { dataset, path } => Some(format!(
                "prepare it: lcsl data prepare {dataset} --root FOLDER --out {}, where FOLDER has \
                 it as it was published; or name the folder above it with --set data.root=FOLDER",
                path.display()
            )),
            Self::InShards { path, .. } => {
                Some(format!("look at it with `lcsl data inspect {}`", path.display()))
            }
            Self::Missing { source_archive, .. } => Some(format!(
                "{source_archive}; or name the folder that holds it with --set data.root=FOLDER"
            )),
            Self::PickleOnly { source_archive, .. } => Some(format!(
                "reading a pickle would run whatever program is hidden in it; {source_archive}"
            )),
            Self::WrongArchive { source_archive, .. } => {
                Some(format!("the download may be incomplete: {source_archive}"))
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("check the permissions of the file and of the folders above it".to_owned())
            }
            Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Magic { .. }
            | Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::CountsDiffer { .. }
            | Self::Label { .. }
            | Self::ImageSize { .. }
            | Self::ClassNames { .. } => {
                Some("the file is damaged or of another kind: fetch it again".to_owned())
            }
        }
    }
}
