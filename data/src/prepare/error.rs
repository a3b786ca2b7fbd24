//! Why a preparation did not come to its end.

use std::io;
use std::path::{Path, PathBuf};

use super::problems::DataProblems;
use crate::error::DataError;
use crate::shard::ShardError;

/// Why a preparation did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The request makes no sense, or cannot be met where it is to be met.
    #[error("{what}")]
    Usage {
        /// What is wrong with it.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The folder is not the dataset that it is said to be.
    #[error("{what}")]
    WrongFolder {
        /// What was looked for, and where.
        what: String,
        /// Where the dataset can be had, and how it should lie.
        hint: String,
    },
    /// Lists or images are wrong.
    #[error("{} cannot be prepared\n{problems}", root.display())]
    Problems {
        /// The root of the dataset.
        root: PathBuf,
        /// Everything that was found.
        problems: DataProblems,
        /// What to do.
        hint: &'static str,
    },
    /// The dataset's files cannot be read.
    #[error(transparent)]
    Source(#[from] DataError),
    /// The disk refused what was to be written.
    #[error(transparent)]
    Disk(ShardError),
}

/// Whose fault it is: decides the exit code of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Who asked.
    Usage,
    /// The data.
    Data,
    /// The disk.
    Disk,
}

impl PrepareError {
    /// Something that the disk refused; `action` completes "cannot … PATH".
    pub fn disk(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk(ShardError::Io { action, path: path.to_owned(), source })
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Usage { .. } => Blame::Usage,
            Self::WrongFolder { .. } | Self::Problems { .. } | Self::Source(_) => Blame::Data,
            Self::Disk(_) => Blame::Disk,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::WrongFolder { hint, .. } => Some(hint.clone()),
            Self::Problems { hint, .. } => Some((*hint).to_owned()),
            Self::Source(error) => error.hint(),
            Self::Disk(ShardError::Io { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Some("make room there, then give the same command: it goes on".to_owned())
            }
            Self::Disk(error) => error.hint(),
        }
    }
}
