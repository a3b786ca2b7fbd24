//! What a run learns from and is measured on: the dataset, cut as the configuration says.

use std::sync::Arc;

use lcsl_config::{
    Data, DataAugmentation, DatasetName, ImbalanceKind, Method, Protocol, RunConfig,
};
use lcsl_data::DataError;
use lcsl_data::augment::Recipe;
use lcsl_data::datasets::cifar::CIFAR10;
use lcsl_data::datasets::{self, Dataset, Name, Normalisation, synthetic};
use lcsl_data::images::ImageSet;
use lcsl_data::profile::{self, Kind};
use lcsl_data::split::{self, Order, Request, SplitError};
use thiserror::Error;

/// Images, and which of them are for what.
pub struct Material {
    /// Names of the classes, by class id.
    pub class_names: Vec<String>,
    /// The images that training and validation are taken from.
    pub images: Arc<ImageSet>,
    /// Training images (indices into `images`), the long-tailed selection.
    pub train: Arc<[u32]>,
    /// Training images per class: the real counts, on which minority classes and quotas rest.
    pub train_counts: Vec<u64>,
    /// Held-out images (indices into `images`); empty in protocol `paper`.
    pub validation: Vec<u32>,
    /// Classes with no image to hold out.
    pub unscored: Vec<u32>,
    /// The test set.
    pub test: Arc<ImageSet>,
    /// All of it, in order.
    pub test_indices: Vec<u32>,
    /// How pixels become numbers.
    pub normalisation: Normalisation,
    /// How training images are augmented.
    pub recipe: Recipe,
}

/// Why there is nothing to learn from.
#[derive(Debug, Error)]
pub enum MaterialError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Too few images.
    #[error("{name} has no {purpose} images left under this selection")]
    Nothing {
        /// The dataset.
        name: String,
        /// What for: `training`, `validation` or `test`.
        purpose: &'static str,
    },
    /// The selection cannot be made.
    #[error("the long-tailed selection is impossible: {0}")]
    Split(#[from] SplitError),
}

/// Opens the dataset and selects.
pub fn open(config: &RunConfig) -> Result<Material, MaterialError> {
    let dataset = open_dataset(&config.data)?;
    let classes = dataset.classes();
    let paper = config.train.protocol == Protocol::Paper;
    let kind = match config.data.imb_type {
        ImbalanceKind::Exp => Kind::Exponential,
        ImbalanceKind::Step => Kind::Step,
        ImbalanceKind::Balanced => Kind::Balanced,
    };
    let factor = config.data.imb_factor;
    let request = Request {
        targets: profile::counts(kind, classes, dataset.largest_class(), factor),
        validation_per_class: if paper { 0 } else { config.data.validation_per_class },
        order: if paper { Order::First } else { Order::Seeded(config.data.selection_seed) },
    };
    let split = split::split(dataset.train.labels(), classes, &request)?;
    let validated = paper || !split.validation.is_empty();
    for (purpose, present) in [
        ("training", !split.train.is_empty()),
        ("validation", validated),
        ("test", !dataset.test.is_empty()),
    ] {
        if !present {
            return Err(MaterialError::Nothing { name: config.data.name.to_string(), purpose });
        }
    }
    Ok(Material {
        class_names: dataset.class_names,
        train: split.train.into(),
        train_counts: split.train_counts,
        validation: split.validation,
        unscored: split.unscored,
        test_indices: (0..dataset.test.len() as u32).collect(),
        images: dataset.train,
        test: dataset.test,
        normalisation: if paper && config.data.name == DatasetName::Cifar100 {
            CIFAR10.normalisation // the published code never changed its constants
        } else {
            dataset.normalisation
        },
        recipe: match config.data.data_aug {
            DataAugmentation::CropFlip => dataset.recipe,
            DataAugmentation::Off => Recipe::None,
        },
    })
}

fn open_dataset(data: &Data) -> Result<Dataset, DataError> {
    let name = match data.name {
        DatasetName::FashionMnist => Name::FashionMnist,
        DatasetName::Cifar10 => Name::Cifar10,
        DatasetName::Cifar100 => Name::Cifar100,
        DatasetName::ImagenetLt => Name::ImagenetLt,
        DatasetName::Inaturalist2018 => Name::Inaturalist2018,
        DatasetName::Folder => Name::Folder,
        DatasetName::Synthetic => Name::Synthetic,
    };
    let synthetic = synthetic::Options {
        classes: data.synthetic_classes,
        train_per_class: data.synthetic_largest,
        test_per_class: data.synthetic_test_per_class,
        image_size: data.image_size,
        ..synthetic::Options::default()
    };
    datasets::open(name, &data.root, &datasets::Options { synthetic })
}

/// Whether this method labels with a teacher.
pub fn labels_itself(method: Method) -> bool {
    method == Method::Lcsl
}
