//! `[data]`: which images are learnt.

use super::{ABOVE_0_TO_1, Key, KeyKind, LARGEST};
use crate::run_config::{
    DataAugmentation, DatasetName, ImbalanceKind, OnCorrupt, SamplerName, StrongAugmentation,
};
use crate::zoo::SMALLEST_IMAGE;

pub(super) const DATA: &[Key] = &[
    Key::new("data.name", KeyKind::Choice(DatasetName::WORDS), "Dataset").flags(&["dataset"]),
    Key::new("data.root", KeyKind::Path, "Folder that holds the datasets"),
    Key::new(
        "data.stage",
        KeyKind::Text,
        "Folder on each host's own disk to which prepared images are copied first; empty is none",
    )
    .flags(&["stage"]),
    Key::new("data.imb_type", KeyKind::Choice(ImbalanceKind::WORDS), "Shape of the images per class")
        .flags(&["imb_type"]),
    Key::new(
        "data.imb_factor",
        ABOVE_0_TO_1,
        "Smallest class over largest class; auto is 0.01, or 1 where the images are used as prepared",
    )
    .or_auto()
    .flags(&["imb_factor"]),
    Key::new(
        "data.largest",
        KeyKind::Integer(0, LARGEST),
        "Training images of the largest class, before any are held out; 0 is all that it has",
    ),
    Key::new(
        "data.image_size",
        KeyKind::Integer(SMALLEST_IMAGE as u64, 4096),
        "Height and width in pixels; auto is the dataset's own",
    )
    .or_auto()
    .flags(&["image_size"]),
    Key::new(
        "data.data_aug",
        KeyKind::Choice(DataAugmentation::WORDS),
        "Augmentation recipe, which not every dataset has; the published none still crops and flips",
    )
    .or_auto()
    .flags(&["data_aug"]),
    Key::new(
        "data.sampler",
        KeyKind::Choice(SamplerName::WORDS),
        "How an epoch draws images; after sequential they draw rare classes more often",
    )
    .flags(&["sampler"]),
    Key::new(
        "data.validation_per_class",
        KeyKind::Integer(0, 1_000_000),
        "Images per class held out for validation; auto goes by dataset and protocol",
    )
    .or_auto(),
    Key::new(
        "data.loader_threads",
        KeyKind::Integer(1, 4096),
        "Threads per process that decode shards; auto goes by cores and processes",
    )
    .or_auto(),
    Key::new(
        "data.on_corrupt",
        KeyKind::Choice(OnCorrupt::WORDS),
        "A corrupt record of a shard: fail ends the run, count goes on without it; both name it",
    )
    .flags(&["on_corrupt"]),
    Key::new(
        "data.unlabelled",
        KeyKind::Path,
        "Images that the teacher labels besides: none, held_back (what the selection left out) or a prepared set",
    )
    .flags(&["unlabelled"]),
    Key::new(
        "data.unlabelled_ratio",
        KeyKind::Integer(1, 1000),
        "Unlabelled images of a step for each training image",
    )
    .flags(&["unlabelled_ratio"]),
    Key::new(
        "data.unlabelled_largest",
        KeyKind::Integer(0, LARGEST),
        "Held-back images of the largest class; 0 is all that are left of every class",
    ),
    Key::new(
        "data.unlabelled_imb_factor",
        ABOVE_0_TO_1,
        "Smallest class over largest class of the held-back images, where unlabelled_largest is given",
    ),
    Key::new(
        "data.unlabelled_aug",
        KeyKind::Choice(StrongAugmentation::WORDS),
        "Recipe of an unlabelled image as it is learnt; strong goes by dataset",
    ),
    Key::new("data.selection_seed", KeyKind::Integer(0, LARGEST), "Seed of the selection of images"),
    Key::new(
        "data.synthetic_classes",
        KeyKind::Integer(2, 65_536),
        "Classes of the synthetic dataset",
    ),
    Key::new(
        "data.synthetic_largest",
        KeyKind::Integer(1, 1_000_000),
        "Training images in the largest class of the synthetic dataset",
    ),
    Key::new(
        "data.synthetic_test_per_class",
        KeyKind::Integer(1, 1_000_000),
        "Test images per class of the synthetic dataset",
    ),
];
