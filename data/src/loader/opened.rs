//! Whatever a path holds, as images to load.

use std::path::Path;
use std::sync::Arc;

use super::shards::ShardSource;
use super::source::{FolderSource, ImageSource};
use crate::DataError;
use crate::images::ImageSet;
use crate::prepare::arrays;
use crate::prepare::manifest::MANIFEST_FILE;
use crate::shard::{ShardSet, index};
use crate::verify::split_folders;

/// Images that a path holds.
pub enum OpenedImages {
    /// Pictures of any size, encoded or not: threads load them.
    Pictures(Box<dyn ImageSource>),
    /// Images of one size in arrays: the loop that wants them copies them itself.
    Arrays(ImageSet),
}

/// Opens the first split with images of a prepared dataset, a set of shards, or a folder of JPEG files (one
/// folder per class, or all in one).
///
/// # Errors
/// When there is none of these, or it is damaged.
pub fn open(path: &Path) -> Result<OpenedImages, DataError> {
    let sets = [path.join(index::INDEX_FILE), path.join("train").join(index::INDEX_FILE)];
    if !path.join(MANIFEST_FILE).exists() && !sets.iter().any(|file| file.exists()) {
        let source = FolderSource::open(path)?;
        if source.is_empty() {
            return Err(DataError::Unsuitable {
                path: path.to_owned(),
                what: "holds no JPEG file, no index and no manifest".to_owned(),
                hint: "name a prepared dataset, a folder of shards that have an index (`lcsl data \
                       index` writes one), or a folder of *.jpg with one folder per class",
            });
        }
        return Ok(OpenedImages::Pictures(Box::new(source)));
    }
    let (manifest, folders) = split_folders(path)?;
    let entries = manifest.iter().flat_map(|manifest| &manifest.parts);
    let Some(manifest) = &manifest else {
        return shards(&folders[0]);
    };
    let Some((folder, entry)) = folders.iter().zip(entries).find(|(_, entry)| entry.images > 0)
    else {
        return Err(DataError::Unsuitable {
            path: path.to_owned(),
            what: format!("is a prepared {} without images", manifest.dataset),
            hint: "prepare it again, from a folder that has some",
        });
    };
    if entry.shards > 0 {
        return shards(folder);
    }
    Ok(OpenedImages::Arrays(arrays::read(folder, entry.counts.len() as u32)?))
}

fn shards(folder: &Path) -> Result<OpenedImages, DataError> {
    Ok(OpenedImages::Pictures(Box::new(ShardSource(Arc::new(ShardSet::open(folder)?)))))
}
