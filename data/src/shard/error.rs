//! What can be wrong with an index or a shard, and where.

use std::io;
use std::path::PathBuf;

/// A set of shards cannot be used. Offsets are bytes from the beginning of the named file.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The folder holds no index.
    #[error("there is no index at {}", path.display())]
    NoIndex {
        /// Where the index was expected.
        path: PathBuf,
    },
    /// The operating system refused something; `action` completes "cannot … PATH".
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder has no shards to index, or too many.
    #[error("{} has {found} files named *.tar", path.display())]
    Shards {
        /// The folder.
        path: PathBuf,
        /// How many there are.
        found: usize,
        /// What to do.
        hint: &'static str,
    },
    /// Shards in which there is not one image.
    #[error("{} has no image in its shards: {what}", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// What there is instead.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// A file that is called a tar and is something else.
    #[error("{} is no tar: {what}", path.display())]
    NoTar {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A sound tar with a sample in it that cannot be used.
    #[error("{}: {what} at byte {offset}", path.display())]
    Sample {
        /// The tar file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// The head of the index is damaged, or this is no index.
    #[error("{} is not a usable index: {what}", path.display())]
    Head {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A block of records does not have the checksum that the head gives for it.
    #[error(
        "{} is damaged: the checksum of records {first} to {last}, at byte {offset}, is \
         {found:#010x} instead of {expected:#010x}",
        path.display()
    )]
    Block {
        /// The index.
        path: PathBuf,
        /// First record of the block.
        first: u64,
        /// Last record of the block.
        last: u64,
        /// Where the block begins.
        offset: u64,
        /// Checksum in the head.
        expected: u32,
        /// Checksum of the bytes.
        found: u32,
    },
    /// A record contradicts the rest of the index, although its checksum is right.
    #[error("record {record} of {} {what}", path.display())]
    Record {
        /// The index.
        path: PathBuf,
        /// The record's number.
        record: u64,
        /// What it says that cannot be; goes on after "record n".
        what: String,
    },
    /// A shard is longer or shorter than when the index was written.
    #[error(
        "{} has {found} bytes, but had {expected} when its index was written",
        path.display()
    )]
    Length {
        /// The shard.
        path: PathBuf,
        /// Bytes according to the index.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The bytes of an image are not those that the index was written for.
    #[error(
        "{} is damaged: record {record}, {length} bytes at byte {offset}, has checksum \
         {found:#010x} instead of {expected:#010x}",
        path.display()
    )]
    Payload {
        /// The shard.
        path: PathBuf,
        /// The record's number in the set.
        record: u64,
        /// Where its bytes begin in the shard.
        offset: u64,
        /// How many there are.
        length: u64,
        /// Checksum in the index.
        expected: u32,
        /// Checksum of the bytes.
        found: u32,
    },
    /// A numpy array that is not what it should be.
    #[error("{} cannot be used: {what}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A tar file that cannot be understood.
    #[error("{}: {what} at byte {offset}", path.display())]
    Tar {
        /// The tar file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

impl ShardError {
    /// What to do about it, where more can be said than the message does.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoIndex { .. } => {
                "make the set with `lcsl data prepare`; for tar shards made elsewhere, \
                 `lcsl data index FOLDER` writes an index"
            }
            Self::Shards { hint, .. }
            | Self::NoImages { hint, .. }
            | Self::NoTar { hint, .. }
            | Self::Sample { hint, .. } => hint,
            Self::Head { .. } | Self::Block { .. } | Self::Record { .. } => {
                "the index is damaged, or of another version: write it again with \
                 `lcsl data index FOLDER`, and check the shards with `lcsl data verify`"
            }
            Self::Length { .. } | Self::Payload { .. } => {
                "the shard was cut off, damaged or replaced after the index was written: \
                 `lcsl data verify` lists everything that is wrong; prepare the set again, or, \
                 where the new shard is meant, write the index again with `lcsl data index FOLDER`"
            }
            Self::Array { .. } => "the file is damaged or of another kind: prepare the set again",
            Self::Tar { .. } => "the file is damaged: fetch or make it again",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    "check the permissions of the file and of the folders above it"
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
                _ => return None,
            },
        };
        Some(hint.to_owned())
    }
}
