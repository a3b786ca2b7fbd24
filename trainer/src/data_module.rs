//! What a run learns from and is measured on: the dataset, cut as the configuration says.

#[cfg(feature = "engine")]
mod folder;
mod recipes;
mod shards;
mod unlabelled;

use std::ops::Range;
use std::sync::Arc;

use lcsl_config::{Data, DatasetName, Evaluation, ImbalanceKind, Protocol, RunConfig, SamplerName};
use lcsl_data::DataError;
use lcsl_data::augment::Recipe;
use lcsl_data::batch::ImageStore;
use lcsl_data::datasets::cifar::CIFAR10;
use lcsl_data::datasets::synthetic::SyntheticOptions;
use lcsl_data::datasets::{
    self, Dataset, DatasetId, DatasetOptions, ImageForm, PixelNormalisation,
};
use lcsl_data::images::Shape;
use lcsl_data::profile::{self, ProfileShape};
use lcsl_data::sampler::{Sampler, SamplerKind};
use lcsl_data::split::{self, SelectionOrder, SplitError, SplitRequest};
use thiserror::Error;

use crate::long_tail::{ShotGroup, ShotThresholds};

pub use unlabelled::UnlabelledImages;

/// Some of the images of a set, in order.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The set.
    pub images: ImageStore,
    /// Which of them.
    pub indices: Arc<[u32]>,
}

impl Selection {
    fn whole(images: ImageStore) -> Self {
        let indices = (0..images.len() as u32).collect();
        Self { images, indices }
    }
}

/// Images, and which of them are for what.
pub struct DataModule {
    /// Names of the classes, by class id.
    pub class_names: Vec<String>,
    /// Training images, the long-tailed selection.
    pub train: Selection,
    /// Training images per class: the real counts, on which minority classes and quotas rest.
    pub train_counts: Vec<u64>,
    /// The group of each class, by these.
    pub groups: Vec<ShotGroup>,
    /// The dataset's validation images, or held-out ones; empty in protocol `paper`.
    pub validation: Selection,
    /// Classes with no validation image.
    pub unscored: Vec<u32>,
    /// Images whose labels nobody reads, where there are some.
    pub unlabelled: Option<UnlabelledImages>,
    /// The test set.
    pub test: Selection,
    /// The size of the images that a network sees.
    pub shape: Shape,
    /// How pixels become numbers.
    pub normalisation: PixelNormalisation,
    /// How training images are augmented.
    pub recipe: Recipe,
    /// How an epoch draws the training images.
    pub sampler: Sampler,
    /// Says whether two ranks have the same dataset, where its images are not read at the start.
    pub digest: Option<[u8; 32]>,
    /// What a person should know before training begins.
    pub notices: Vec<String>,
}

/// Why there is nothing to learn from.
#[derive(Debug, Error)]
pub enum DataModuleError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Too few images.
    #[error("{name} has no {purpose} images left under this selection")]
    Nothing {
        /// The dataset.
        name: String,
        /// What for: `training`, `validation`, `test` or `unlabelled`.
        purpose: &'static str,
    },
    /// Thresholds that somebody has set leave a group without a class.
    #[error(
        "no class has {what}: the classes have {least} to {most} training images, and the groups of \
         evaluation.many_above and evaluation.few_below are to have a class each"
    )]
    Groups {
        /// What no class has, such as `more than 500 training images`.
        what: String,
        /// Images of the smallest class.
        least: u64,
        /// Images of the largest.
        most: u64,
    },
    /// The selection cannot be made.
    #[error("the long-tailed selection is impossible: {0}")]
    Split(#[from] SplitError),
}

/// The groups of classes with these training images. The usual thresholds serve every dataset, whatever it has; whoever
/// sets others means them.
fn groups(config: &RunConfig, counts: &[u64]) -> Result<Vec<ShotGroup>, DataModuleError> {
    let Evaluation { many_above, few_below, .. } = config.evaluation;
    let thresholds = ShotThresholds { many_above, few_below };
    let groups = thresholds.groups(counts);
    let empty = thresholds.empty(&groups);
    if thresholds == ShotThresholds::USUAL || empty.is_empty() {
        return Ok(groups);
    }
    let what = empty.iter().map(|group| match group {
        ShotGroup::Many => format!("more than {many_above} training images"),
        ShotGroup::Medium => format!("{few_below} to {many_above} training images"),
        ShotGroup::Few => format!("fewer than {few_below} training images"),
    });
    let [least, most] =
        [counts.iter().min(), counts.iter().max()].map(|it| it.copied().unwrap_or(0));
    Err(DataModuleError::Groups { what: what.collect::<Vec<_>>().join(", or "), least, most })
}

/// Opens the dataset and selects.
pub fn open(config: &RunConfig) -> Result<DataModule, DataModuleError> {
    let data_module = match name_of(config.data.name) {
        name @ (DatasetId::ImagenetLt
        | DatasetId::PlacesLt
        | DatasetId::Inaturalist2018
        | DatasetId::Folder) => shards::open(name, config)?,
        name => in_memory(name, config)?,
    };
    #[cfg(feature = "engine")] // which reads images of every form
    let data_module = data_module.with_folder(config)?;
    let data_module =
        DataModule { groups: groups(config, &data_module.train_counts)?, ..data_module };
    let paper = config.train.protocol == Protocol::Paper;
    let unlabelled = data_module.unlabelled.as_ref();
    for (purpose, present) in [
        ("training", !data_module.train.indices.is_empty()),
        ("validation", paper || !data_module.validation.indices.is_empty()),
        ("test", !data_module.test.indices.is_empty()),
        ("unlabelled", unlabelled.is_none_or(|it| !it.selection.indices.is_empty())),
    ] {
        if !present {
            return Err(DataModuleError::Nothing { name: config.data.name.to_string(), purpose });
        }
    }
    Ok(data_module)
}

/// What images are like in a run, known without opening its dataset.
pub fn image_form(config: &RunConfig) -> ImageForm {
    let name = name_of(config.data.name);
    let form = name.image_form(config.data.image_size);
    if config.train.protocol == Protocol::Paper && name == DatasetId::Cifar100 {
        // The published code never changed its constants.
        return ImageForm { normalisation: CIFAR10.normalisation, ..form };
    }
    form
}

/// Says which prepared dataset the configuration names; nothing where it is no set of shards.
pub fn prepared_digest(config: &RunConfig) -> Result<Option<[u8; 32]>, DataModuleError> {
    let name = config.data.name;
    let digest = name.lies_in_shards().then(|| shards::digest(name_of(name), config));
    Ok(digest.transpose()?)
}

fn in_memory(name: DatasetId, config: &RunConfig) -> Result<DataModule, DataModuleError> {
    let dataset = open_dataset(name, &config.data)?;
    let targets = profile(&config.data, dataset.classes(), dataset.largest_class());
    let split = split::split(dataset.train.labels(), dataset.classes(), &cut(config, targets))?;
    let images = ImageStore::Memory(dataset.train.clone());
    let left = Selection { images: images.clone(), indices: split.unlabelled.into() };
    let train = Selection { images: images.clone(), indices: split.train.into() };
    Ok(DataModule {
        sampler: sampler_of(config, &train)?,
        class_names: dataset.class_names,
        train,
        train_counts: split.train_counts,
        groups: Vec::new(),
        validation: Selection { images, indices: split.validation.into() },
        unscored: split.unscored,
        unlabelled: UnlabelledImages::held_back(config, left, dataset.recipe),
        test: Selection::whole(ImageStore::Memory(dataset.test)),
        shape: dataset.train.shape(),
        normalisation: image_form(config).normalisation,
        recipe: recipes::in_memory(config.data.data_aug, dataset.recipe),
        digest: None,
        notices: Vec::new(),
    })
}

/// Images of each class that the configuration's profile asks for.
fn profile(data: &Data, classes: usize, largest: u64) -> Vec<u64> {
    let kind = shape(data.imb_type);
    let largest = if data.largest > 0 { data.largest } else { largest };
    profile::counts(kind, classes, largest, data.imb_factor)
}

fn shape(kind: ImbalanceKind) -> ProfileShape {
    match kind {
        ImbalanceKind::Exp => ProfileShape::Exponential,
        ImbalanceKind::Step => ProfileShape::Step,
        ImbalanceKind::Balanced => ProfileShape::Balanced,
    }
}

/// The split with these targets under the configuration's protocol.
fn cut(config: &RunConfig, targets: Vec<u64>) -> SplitRequest {
    let paper = config.train.protocol == Protocol::Paper;
    SplitRequest {
        left: unlabelled::left_over(&config.data, targets.len()),
        targets,
        validation_per_class: if paper { 0 } else { config.data.validation_per_class },
        order: if paper {
            SelectionOrder::First
        } else {
            SelectionOrder::Seeded(config.data.selection_seed)
        },
    }
}

fn sampler_of(config: &RunConfig, train: &Selection) -> Result<Sampler, DataError> {
    sampler(config.data.sampler, 0..config.train.epochs.max(1), config.run.seed, train)
}

/// The sampler of these training images, in a stage of these `epochs`. Labels are read only where
/// classes make a difference: in shards that is a walk through the index.
pub fn sampler(
    name: SamplerName,
    epochs: Range<u64>,
    seed: u64,
    train: &Selection,
) -> Result<Sampler, DataError> {
    let count = train.indices.len();
    let kind = match name {
        SamplerName::Random => SamplerKind::Random,
        SamplerName::QuasiRandom => SamplerKind::QuasiRandom,
        SamplerName::Sequential => SamplerKind::Sequential,
        SamplerName::ClassBalanced => SamplerKind::ClassBalanced,
        SamplerName::SquareRoot => SamplerKind::SquareRoot,
        SamplerName::Progressive => {
            SamplerKind::Progressive { first: epochs.start, epochs: epochs.end - epochs.start }
        }
        SamplerName::Reversed => SamplerKind::Reversed,
    };
    let label = |index: &u32| train.images.label(*index as usize);
    let labels = match kind {
        SamplerKind::Random | SamplerKind::QuasiRandom | SamplerKind::Sequential => {
            vec![0; count]
        }
        _ => train.indices.iter().map(label).collect::<Result<_, DataError>>()?,
    };
    Ok(Sampler::new(kind, labels.into_iter(), seed))
}

fn name_of(name: DatasetName) -> DatasetId {
    match name {
        DatasetName::FashionMnist => DatasetId::FashionMnist,
        DatasetName::Cifar10 => DatasetId::Cifar10,
        DatasetName::Cifar100 => DatasetId::Cifar100,
        DatasetName::ImagenetLt => DatasetId::ImagenetLt,
        DatasetName::PlacesLt => DatasetId::PlacesLt,
        DatasetName::Inaturalist2018 => DatasetId::Inaturalist2018,
        DatasetName::Folder => DatasetId::Folder,
        DatasetName::Synthetic => DatasetId::Synthetic,
    }
}

fn open_dataset(name: DatasetId, data: &Data) -> Result<Dataset, DataError> {
    let synthetic = SyntheticOptions {
        classes: data.synthetic_classes,
        train_per_class: data.synthetic_largest,
        test_per_class: data.synthetic_test_per_class,
        image_size: data.image_size,
        ..SyntheticOptions::default()
    };
    datasets::open(name, &data.root, &DatasetOptions { synthetic })
}
