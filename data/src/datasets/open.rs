//! From a dataset's name to the dataset.

use std::path::Path;

use super::{Dataset, DatasetId, cifar, fashion_mnist, synthetic};
use crate::error::DataError;
use crate::prepare::manifest::MANIFEST_FILE;

/// What else may be said about a dataset than its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetOptions {
    /// Size and shape of the synthetic dataset; the others ignore it.
    pub synthetic: synthetic::SyntheticOptions,
}

/// Opens dataset `name` under `root`, the folder that `data.root` names: the arrays of a prepared set in the
/// folder of its name, or the official files. Nothing is written or fetched.
///
/// # Errors
/// When files are missing or are not the official ones; see [`DataError`] and its hints.
pub fn open(name: DatasetId, root: &Path, options: &DatasetOptions) -> Result<Dataset, DataError> {
    if name == DatasetId::Synthetic {
        return Ok(synthetic::generate(&options.synthetic));
    }
    #[cfg(feature = "pictures")]
    if let Some(dataset) = super::arrays::open(name, root)? {
        return Ok(dataset);
    }
    open_official(name, root)
}

/// Opens dataset `name` from its official files under `root`.
///
/// # Errors
/// As [`open`], and for datasets that have none.
pub fn open_official(name: DatasetId, root: &Path) -> Result<Dataset, DataError> {
    match name {
        DatasetId::FashionMnist => fashion_mnist::open(root),
        DatasetId::Cifar10 => cifar::open(root, &cifar::CIFAR10),
        DatasetId::Cifar100 => cifar::open(root, &cifar::CIFAR100),
        DatasetId::Synthetic
        | DatasetId::ImagenetLt
        | DatasetId::PlacesLt
        | DatasetId::Inaturalist2018
        | DatasetId::Folder => Err(in_shards(name, root)),
    }
}

/// Sets in shards are too large for memory: here it is only said whether they have been prepared.
fn in_shards(name: DatasetId, root: &Path) -> DataError {
    let (dataset, path) = (name.as_str(), root.join(name.as_str()));
    if path.join(MANIFEST_FILE).is_file() {
        DataError::InShards { dataset, path }
    } else {
        DataError::NotPrepared { dataset, path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_was_not_prepared_is_answered_with_how() {
        let root = tempfile::tempdir().unwrap();
        let refused = |name| {
            let error = open(name, root.path(), &DatasetOptions::default()).unwrap_err();
            let text = format!("{error}\nhint: {}\n", error.hint().unwrap());
            text.replace(root.path().to_str().unwrap(), "ROOT")
        };
        let mut said = refused(DatasetId::ImagenetLt) + &refused(DatasetId::Folder);
        std::fs::create_dir(root.path().join("imagenet_lt")).unwrap();
        std::fs::write(root.path().join("imagenet_lt/manifest.json"), "{}").unwrap();
        said += &refused(DatasetId::ImagenetLt);
        insta::assert_snapshot!(said);
    }
}
