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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{ImageSet, Shape};
    use crate::prepare::manifest::{DatasetManifest, ManifestSource, SplitEntry};

    #[test]
    fn the_training_images_of_a_set_in_arrays_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path()).is_err(), "there is nothing of the kind");
        let source = ManifestSource { root: String::new(), lists: Vec::new() };
        let mut manifest = DatasetManifest::new("cifar10", "arrays", String::new(), source);
        manifest.class_names = vec!["cat".to_owned()];
        for (name, images) in [("test", 1), ("train", 2)] {
            let shape = Shape { height: 2, width: 3, channels: 3 };
            let set = ImageSet::new(shape, vec![7; images * 18], vec![0; images]);
            let split = folder.path().join(name);
            std::fs::create_dir(&split).unwrap();
            let digest = arrays::write(&split, &set).unwrap();
            let images = images as u64;
            let (name, counts) = (name.to_owned(), vec![images]);
            manifest.parts.push(SplitEntry { name, images, shards: 0, bytes: 0, counts, digest });
        }
        manifest.write(folder.path()).unwrap();
        let ImageStore::Memory(set) = open(folder.path()).unwrap() else { panic!("in arrays") };
        assert_eq!((set.len(), set.image(1)), (2, &[7; 18][..]));
    }
}
