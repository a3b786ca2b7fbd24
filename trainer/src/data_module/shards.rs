//! What a run learns from where the dataset lies in shards.

use lcsl_config::{Protocol, RunConfig};
use lcsl_data::DataError;
use lcsl_data::augment::recipes::photographs;
use lcsl_data::batch::ImageStore;
use lcsl_data::datasets::DatasetId;
use lcsl_data::datasets::prepared::{self, Prepared, PreparedSplit};
use lcsl_data::images::Shape;
use lcsl_data::split;

use super::{
    DataModule, DataModuleError, Selection, UnlabelledImages, cut, profile, recipes, sampler_of,
};

/// Opens a prepared dataset and selects. Where it has validation images of its own they are used;
/// elsewhere images are held out from the training set.
pub(super) fn open(name: DatasetId, config: &RunConfig) -> Result<DataModule, DataModuleError> {
    let dataset = prepared::open(name, &config.data.root)?;
    let train = select(&dataset, targets(name, config, &dataset), config)?;
    let side = config.data.image_size;
    let rehearsal =
        dataset.rehearsal.then(|| format!("the images of {name} are drawn: a rehearsal"));
    Ok(DataModule {
        sampler: sampler_of(config, &train.train)?,
        class_names: dataset.class_names,
        train: train.train,
        train_counts: train.counts,
        groups: Vec::new(),
        validation: train.validation,
        unscored: train.unscored,
        unlabelled: UnlabelledImages::held_back(config, train.left, photographs::CROP_FLIP),
        test: whole(&dataset.test),
        shape: Shape { height: side, width: side, channels: 3 },
        normalisation: dataset.normalisation,
        recipe: recipes::of_photographs(config.data.data_aug),
        digest: Some(dataset.digest),
        notices: rehearsal.into_iter().collect(),
    })
}

/// Says which prepared dataset the configuration names, without opening its images.
pub(super) fn digest(name: DatasetId, config: &RunConfig) -> Result<[u8; 32], DataError> {
    Ok(prepared::open(name, &config.data.root)?.digest)
}

/// Training images that each class is to keep, before some are held out. The lists of ImageNet-LT and
/// iNaturalist 2018 are a long-tailed selection already, so the profile cuts images of one's own alone:
/// a class keeps what the profile says, or all that it has.
fn targets(name: DatasetId, config: &RunConfig, dataset: &Prepared) -> Vec<u64> {
    let counts = &dataset.train.counts;
    if name != DatasetId::Folder {
        return counts.clone();
    }
    let largest = counts.iter().copied().max().unwrap_or(0);
    let wanted = profile(&config.data, counts.len(), largest);
    counts.iter().zip(wanted).map(|(has, wants)| wants.min(*has)).collect()
}

struct Selected {
    train: Selection,
    counts: Vec<u64>,
    validation: Selection,
    unscored: Vec<u32>,
    left: Selection,
}

fn select(
    dataset: &Prepared,
    targets: Vec<u64>,
    config: &RunConfig,
) -> Result<Selected, DataModuleError> {
    let honest = config.train.protocol == Protocol::Honest;
    let official = dataset.validation.as_ref().filter(|_| honest);
    let mut request = cut(config, targets);
    if official.is_some() {
        request.validation_per_class = 0;
    }
    let images = || ImageStore::Shards(dataset.train.images.clone());
    let is_whole = request.validation_per_class == 0 && request.targets == dataset.train.counts;
    let mut selected = if is_whole {
        let none = Selection { images: images(), indices: [].into() };
        let (train, counts) = (whole(&dataset.train), request.targets);
        Selected { train, counts, validation: none.clone(), unscored: Vec::new(), left: none }
    } else {
        let split = split::split(&labels(&dataset.train)?, dataset.class_names.len(), &request)?;
        Selected {
            train: Selection { images: images(), indices: split.train.into() },
            counts: split.train_counts,
            validation: Selection { images: images(), indices: split.validation.into() },
            unscored: split.unscored,
            left: Selection { images: images(), indices: split.unlabelled.into() },
        }
    };
    if let Some(split) = official {
        let without = (0..).zip(&split.counts).filter(|(_, count)| **count == 0);
        selected.unscored = without.map(|(class, _)| class).collect();
        selected.validation = whole(split);
    }
    Ok(selected)
}

fn whole(split: &PreparedSplit) -> Selection {
    Selection::whole(ImageStore::Shards(split.images.clone()))
}

/// The class of every image: the index is read, and no image.
fn labels(split: &PreparedSplit) -> Result<Vec<u32>, DataError> {
    (0..split.images.len()).map(|image| split.images.label(image)).collect()
}
