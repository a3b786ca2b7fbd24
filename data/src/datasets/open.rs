//! From a dataset's name to the dataset.

use std::path::Path;

use super::{Dataset, Name, cifar, fashion_mnist, synthetic};
use crate::error::DataError;

/// What else may be said about a dataset than its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Size and shape of the synthetic dataset; the others ignore it.
    pub synthetic: synthetic::Options,
}

/// Opens dataset `name` from the files under `root`, the folder that `data.root` names. Nothing is
/// written or fetched.
///
/// # Errors
/// When files are missing or are not the official ones; see [`DataError`] and its hints.
pub fn open(name: Name, root: &Path, options: &Options) -> Result<Dataset, DataError> {
    match name {
        Name::FashionMnist => fashion_mnist::open(root),
        Name::Synthetic => Ok(synthetic::generate(&options.synthetic)),
        Name::Cifar10 => cifar::open(root, &cifar::CIFAR10),
        Name::Cifar100 => cifar::open(root, &cifar::CIFAR100),
    }
}
