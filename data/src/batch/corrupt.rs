//! Corrupt images, and why they are.

use crate::DataError;
use crate::decode::ImageError;

/// Why a batch cannot be had, and where the fault lies.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are there, but they are no image that is accepted.
    #[error("{place}: {source}")]
    Image {
        /// File or shard, record and offset.
        place: String,
        /// Index of the image in its source.
        index: u64,
        /// What is wrong with it.
        source: ImageError,
    },
    /// The bytes cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl LoadError {
    /// Whether one record is at fault, and the others of its shard may be good.
    pub fn is_of_one_record(&self) -> bool {
        match self {
            Self::Image { .. } => true,
            Self::Data(error) => error.is_of_one_record(),
        }
    }
}

impl From<LoadError> for DataError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Image { place, source, .. } => {
                Self::Image { place, what: source.to_string(), hint: source.hint() }
            }
            LoadError::Data(error) => error,
        }
    }
}

/// A corrupt image of a batch.
#[derive(Debug)]
pub struct CorruptRecord {
    /// Its place in the batch.
    pub at: usize,
    /// Its position in the epoch.
    pub position: u64,
    /// What is wrong with it.
    pub error: LoadError,
}
