//! Where the images of a dataset are.

use std::sync::Arc;

use crate::DataError;
use crate::images::ImageSet;
use crate::shard::ShardSet;

/// Where the images of a dataset are.
#[derive(Clone, Debug)]
pub enum ImageStore {
    /// In memory, all of one size.
    Memory(Arc<ImageSet>),
    /// In shards, to be decoded to the size that is wanted.
    Shards(Arc<ShardSet>),
}

impl ImageStore {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(set) => set.len(),
            Self::Shards(set) => set.len(),
        }
    }

    /// The class of image `index`.
    ///
    /// # Errors
    /// When the index of its shard cannot be read.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn label(&self, index: usize) -> Result<u32, DataError> {
        match self {
            Self::Memory(set) => Ok(set.label(index)),
            Self::Shards(set) => set.label(index),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
