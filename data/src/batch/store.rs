//! Where the images of a dataset are.

use std::sync::Arc;

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

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
