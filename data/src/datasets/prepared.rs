//! Datasets in shards, as `lcsl data prepare` leaves them: opened by their manifest, without reading
//! an image.

use std::path::Path;
use std::sync::Arc;

use super::{DatasetId, PixelNormalisation};
use crate::error::DataError;
use crate::prepare::manifest::{DatasetManifest, SplitEntry};
use crate::shard::ShardSet;

/// The statistics of the photographs of `ImageNet`, as torchvision's models use them.
pub(super) const IMAGENET: PixelNormalisation =
    PixelNormalisation { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
/// The statistics of iNaturalist 2018 that are used with it since Kang et al., "Decoupling
/// representation and classifier for long-tailed recognition", ICLR 2020.
pub(super) const INATURALIST: PixelNormalisation =
    PixelNormalisation { mean: [0.466, 0.471, 0.380], std: [0.195, 0.194, 0.192] };

/// What a rehearsal's manifest says instead of the dataset's name.
const REHEARSAL: &str = "synthetic";

/// A prepared dataset in shards.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Whether its images are drawn: a rehearsal with the true numbers of images.
    pub rehearsal: bool,
    /// The name of each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// The training images.
    pub train: PreparedSplit,
    /// The validation images that come with it, where some do.
    pub validation: Option<PreparedSplit>,
    /// The test images: the validation images of a dataset whose test labels were never published.
    pub test: PreparedSplit,
    /// How bytes become the numbers that a network sees.
    pub normalisation: PixelNormalisation,
    /// Says whether two runs saw the same data: BLAKE3 over the names of the classes, and for each split its
    /// name, the digest of its images that the manifest has, and the digest of its index.
    pub digest: [u8; 32],
}

/// One split of it.
#[derive(Clone, Debug)]
pub struct PreparedSplit {
    /// The images.
    pub images: Arc<ShardSet>,
    /// How many each class has.
    pub counts: Vec<u64>,
}

/// Opens dataset `name` in the folder of this name under `root`. The manifest, the heads of the
/// indices and the lengths of the shards are read and compared, and nothing else.
///
/// # Errors
/// When it was not prepared, is another dataset, lacks a split, or is damaged.
pub fn open(name: DatasetId, root: &Path) -> Result<Prepared, DataError> {
    let (dataset, folder) = (name.as_str(), root.join(name.as_str()));
    let Some(manifest) = DatasetManifest::read(&folder)? else {
        return Err(DataError::NotPrepared { dataset, path: folder });
    };
    let unsuitable =
        |what: String, hint| DataError::Unsuitable { path: folder.clone(), what, hint };
    let rehearsal = manifest.dataset == REHEARSAL;
    if manifest.dataset != dataset && !rehearsal {
        let hint = "prepare the dataset into a folder of its own name, or train on the other one";
        return Err(unsuitable(format!("holds {}, not {dataset}", manifest.dataset), hint));
    }
    let split = |name: &str| {
        let entry = manifest.parts.iter().find(|split| split.name == name && split.images > 0);
        entry.map(|entry| open_split(&folder, entry)).transpose()
    };
    let hint = "`lcsl data inspect` shows its splits; prepare it again into another folder: where a \
                dataset brings no test images, `lcsl data prepare` holds some out";
    let lacks = |what: &str| unsuitable(format!("has no {what} images"), hint);
    let train = split("train")?.ok_or_else(|| lacks("training"))?;
    // Images to select on are not tested on because there are no others.
    let (validation, Some(test)) = (split("val")?, split("test")?) else {
        return Err(lacks("test"));
    };
    Ok(Prepared {
        rehearsal,
        digest: digest(&manifest, [Some(&train), validation.as_ref(), Some(&test)]),
        class_names: manifest.class_names,
        train,
        validation,
        test,
        normalisation: name.image_form(0).normalisation,
    })
}

/// Opens one split, and compares its index with the manifest.
fn open_split(folder: &Path, entry: &SplitEntry) -> Result<PreparedSplit, DataError> {
    let folder = folder.join(&entry.name);
    let images = ShardSet::open(&folder)?;
    let (found, expected) = (images.len() as u64, entry.images);
    let (classes, named) = (u64::from(images.classes()), entry.counts.len() as u64);
    if found != expected || classes != named {
        return Err(DataError::Unsuitable {
            path: folder,
            what: format!(
                "has an index of {found} images in {classes} classes, but the manifest says \
                 {expected} in {named}"
            ),
            hint: "the index was written again, or comes from elsewhere: prepare the dataset again",
        });
    }
    Ok(PreparedSplit { images: Arc::new(images), counts: entry.counts.clone() })
}

fn digest(manifest: &DatasetManifest, splits: [Option<&PreparedSplit>; 3]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for name in &manifest.class_names {
        add(name.as_bytes());
    }
    for split in &manifest.parts {
        add(split.name.as_bytes());
        add(split.digest.as_bytes());
    }
    for split in splits.into_iter().flatten() {
        add(&split.images.digest());
    }
    hasher.finalize().into()
}
