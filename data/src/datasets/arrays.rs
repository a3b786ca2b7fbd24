//! Small datasets in arrays, as `lcsl data prepare` leaves them: mapped, so that the ranks of a machine share
//! one copy.

use std::path::Path;

use super::{Dataset, DatasetId};
use crate::augment::recipes::small;
use crate::error::DataError;
use crate::images::ImageSet;
use crate::prepare::arrays;
use crate::prepare::manifest::DatasetManifest;

/// Opens dataset `name` in the folder of this name under `root`, where it was prepared.
///
/// # Errors
/// When it is another dataset, lacks a split, or is damaged.
pub(super) fn open(name: DatasetId, root: &Path) -> Result<Option<Dataset>, DataError> {
    let (DatasetId::Cifar10 | DatasetId::Cifar100 | DatasetId::FashionMnist) = name else {
        return Ok(None);
    };
    let folder = root.join(name.as_str());
    let Some(manifest) = DatasetManifest::read(&folder)? else { return Ok(None) };
    let unsuitable =
        |what: String, hint| DataError::Unsuitable { path: folder.clone(), what, hint };
    if manifest.dataset != name.as_str() {
        let hint = "prepare the dataset into a folder of its own name, or train on the other one";
        return Err(unsuitable(format!("holds {}, not {name}", manifest.dataset), hint));
    }
    let split = |name: &str| -> Result<ImageSet, DataError> {
        let entry = manifest.parts.iter().find(|entry| entry.name == name).ok_or_else(|| {
            unsuitable(format!("has no {name} images"), "prepare the dataset again")
        })?;
        let set = arrays::read(&folder.join(name), entry.counts.len() as u32)?;
        if set.len() as u64 != entry.images {
            let (found, expected) = (set.len(), entry.images);
            let what = format!("has {found} {name} images, but the manifest says {expected}");
            return Err(unsuitable(what, "prepare the dataset again"));
        }
        Ok(set)
    };
    let sets = [split("train")?, split("test")?];
    Ok(Some(Dataset::new(
        name,
        manifest.class_names,
        sets,
        name.image_form(0).normalisation,
        small::CROP_FLIP,
    )))
}
