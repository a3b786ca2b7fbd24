//! Images without a dataset around them: the training images of a prepared set, or a set of shards.

use std::path::Path;
use std::sync::Arc;

use crate::batch::ImageStore;
use crate::error::DataError;
use crate::prepare::arrays;
use crate::shard::ShardSet;
use crate::verify::split_folders;

/// The name of the split that is taken where a set has several.
const SPLIT: &str = "train";

/// Opens the training images of the prepared set in `folder`, or the shards with an index that lie in it. Their labels
/// are there, and nobody has to look at them.
///
/// # Errors
/// When there is nothing of the kind, or it is damaged.
pub fn open(folder: &Path) -> Result<ImageStore, DataError> {
    let (manifest, folders) = split_folders(folder)?;
    let number = folders.iter().position(|path| path.ends_with(SPLIT)).unwrap_or(0);
    let entry = manifest.as_ref().map(|manifest| &manifest.parts[number]);
    match entry.filter(|entry| entry.shards == 0 && entry.images > 0) {
        Some(entry) => {
            let set = arrays::read(&folders[number], entry.counts.len() as u32)?;
            Ok(ImageStore::Memory(Arc::new(set)))
        }
        None => Ok(ImageStore::Shards(Arc::new(ShardSet::open(&folders[number])?))),
    }
}
