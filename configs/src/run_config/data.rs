//! `[data]`: which images are learnt, and how they are selected.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// Which images are learnt, and how the long-tailed training set is selected from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The dataset.
    pub name: DatasetName,
    /// The folder that holds the datasets, relative to the current directory or absolute; never
    /// empty.
    pub root: PathBuf,
    /// The folder on each host's own disk to which a dataset in shards is copied before training; empty for none.
    pub stage: String,
    /// The shape of the profile of images per class.
    pub imb_type: ImbalanceKind,
    /// Smallest class over largest class, in (0, 1]; 0.01 is the "imbalance ratio 100" of the
    /// papers. ImageNet-LT and iNaturalist 2018 are long-tailed as published: nothing reads it there.
    pub imb_factor: f64,
    /// Training images of the largest class, from which the profile falls; 0 for all that it has.
    pub largest: u64,
    /// Height and width of an image in pixels.
    pub image_size: usize,
    /// What is done to a training image before it is mixed.
    pub data_aug: DataAugmentation,
    /// In which order, and how often, an epoch draws the training images.
    pub sampler: SamplerName,
    /// Images per class that are held out for validation; 0 exactly when the protocol is `paper`.
    pub validation_per_class: usize,
    /// Threads of each process that decode images from shards; they change no result.
    pub loader_threads: usize,
    /// What happens when a record of a shard is corrupt.
    pub on_corrupt: OnCorrupt,
    /// Images whose labels nobody reads, which the teacher labels besides the training images.
    pub unlabelled: Unlabelled,
    /// Unlabelled images of a step for each training image, at least 1.
    pub unlabelled_ratio: u64,
    /// Held-back images of the largest class, from which their profile falls; 0 for all images that are left.
    pub unlabelled_largest: u64,
    /// Smallest class over largest class among the held-back images, in (0, 1], where `unlabelled_largest` is not 0.
    pub unlabelled_imb_factor: f64,
    /// What is done to an unlabelled image before it is learnt; what the teacher sees goes by `data_aug`.
    pub unlabelled_aug: StrongAugmentation,
    /// The seed that draws which images of a class are kept; apart from `run.seed`, so that runs
    /// share one selection.
    pub selection_seed: u64,
    /// Number of classes of the synthetic dataset, at least 2.
    pub synthetic_classes: usize,
    /// Training images in the largest class of the synthetic dataset.
    pub synthetic_largest: usize,
    /// Test images per class of the synthetic dataset.
    pub synthetic_test_per_class: usize,
}

/// Images without labels. Written `none`, `held_back` or a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Unlabelled {
    /// There are none.
    None,
    /// Training images of the dataset that neither the long-tailed selection nor the validation took. Their labels are
    /// known, and serve to say how many admissions were right.
    HeldBack,
    /// The training images of a prepared set, or shards with an index, in this folder. Their labels are not looked at.
    Folder(PathBuf),
}

impl fmt::Display for Unlabelled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::HeldBack => formatter.write_str("held_back"),
            Self::Folder(path) => write!(formatter, "{}", path.display()),
        }
    }
}

impl From<String> for Unlabelled {
    fn from(text: String) -> Self {
        match text.as_str() {
            "none" => Self::None,
            "held_back" | "held-back" => Self::HeldBack,
            _ => Self::Folder(text.into()),
        }
    }
}

impl From<Unlabelled> for String {
    fn from(unlabelled: Unlabelled) -> Self {
        unlabelled.to_string()
    }
}

choice! {
    /// The datasets that this version reads.
    DatasetName {
        /// CIFAR-10 in its official binary form: 10 classes, 32×32, RGB.
        Cifar10 = "cifar10",
        /// CIFAR-100 in its official binary form, fine labels: 100 classes, 32×32, RGB.
        Cifar100 = "cifar100",
        /// Fashion-MNIST: 10 classes, 28×28, grey repeated on three channels.
        FashionMnist = "fashion_mnist",
        /// ImageNet-LT, prepared in `imagenet_lt` of the root: 1,000 classes.
        ImagenetLt = "imagenet_lt" | "imagenet",
        /// Places-LT, prepared in `places_lt` of the root: 365 classes.
        PlacesLt = "places_lt" | "places",
        /// iNaturalist 2018, prepared in `inaturalist2018` of the root: 8,142 classes.
        Inaturalist2018 = "inaturalist2018" | "inaturalist",
        /// Images of one's own, prepared in `folder` of the root.
        Folder = "folder",
        /// Patterns drawn from a seed, for checks that need no download.
        Synthetic = "synthetic",
    }
}

choice! {
    /// The shape of the profile of images per class (Cao et al., 2019, section 4.1).
    ImbalanceKind {
        /// Class c of C keeps largest · factor^(c / (C − 1)) images, rounded down.
        Exp = "exp",
        /// The first half of the classes is full, the second half has largest · factor images,
        /// rounded down.
        Step = "step",
        /// Every class is full.
        Balanced = "balanced",
    }
}

choice! {
    /// How an epoch draws the training images. The first three draw each of them once; the others
    /// draw as many, but give the classes other shares.
    SamplerName {
        /// A new random order each epoch.
        Random = "random",
        /// Random blocks of neighbours, shuffled in windows, so that cold disks read in order.
        QuasiRandom = "quasi_random",
        /// The order of the training set.
        Sequential = "sequential",
        /// Every class equally often.
        ClassBalanced = "class_balanced",
        /// Classes in proportion to the square root of their images.
        SquareRoot = "square_root",
        /// From every image equally often to every class equally often, over the epochs.
        Progressive = "progressive",
        /// Classes in inverse proportion to their images.
        Reversed = "reversed",
    }
}

choice! {
    /// What is done to a training image before it is mixed; not every dataset has every recipe.
    DataAugmentation {
        /// For images of one size: black padding of 4 pixels, a random crop back to that size and a
        /// random mirror image. For photographs: a random window, resized, and a random mirror image.
        CropFlip = "crop_flip",
        /// Nothing beyond crops and flips in the published code: for images of one size
        /// [`DataAugmentation::CropFlip`], in whose place it never stands in a configuration; for
        /// photographs with random brightness, contrast and saturation.
        None = "none",
        /// With `AutoAugment`'s policy for CIFAR-10 and cutout.
        AutoAug = "autoaug",
        /// With a black square in it.
        Cutout = "cutout",
        /// Turned and sheared, with a black square in it.
        Affine = "affine",
        /// The views of contrastive learning: random colours, shades of grey, blur.
        SimAug = "sim_aug",
        /// With random colours and `RandAugment`.
        RandCls = "randcls",
        /// The image as it is; the square in the middle of a photograph.
        Off = "off",
    }
}

choice! {
    /// What is done to an unlabelled image before it is learnt.
    StrongAugmentation {
        /// `autoaug` for images of one size, `randcls` for photographs; `affine` for Fashion-MNIST, whose classes
        /// `autoaug` makes hard to tell: its policy was found for colours.
        Strong = "strong",
        /// [`DataAugmentation::CropFlip`].
        CropFlip = "crop_flip",
        /// [`DataAugmentation::AutoAug`].
        AutoAug = "autoaug",
        /// [`DataAugmentation::Cutout`].
        Cutout = "cutout",
        /// [`DataAugmentation::Affine`].
        Affine = "affine",
        /// [`DataAugmentation::SimAug`].
        SimAug = "sim_aug",
        /// [`DataAugmentation::RandCls`].
        RandCls = "randcls",
        /// [`DataAugmentation::Off`].
        Off = "off",
    }
}

impl StrongAugmentation {
    /// The recipe that it stands for with images of `dataset`.
    pub fn recipe(self, dataset: DatasetName) -> DataAugmentation {
        match self {
            Self::Strong if dataset.lies_in_shards() => DataAugmentation::RandCls,
            Self::Strong if dataset == DatasetName::FashionMnist => DataAugmentation::Affine,
            Self::Affine => DataAugmentation::Affine,
            Self::Cutout => DataAugmentation::Cutout,
            Self::Strong | Self::AutoAug => DataAugmentation::AutoAug,
            Self::CropFlip => DataAugmentation::CropFlip,
            Self::SimAug => DataAugmentation::SimAug,
            Self::RandCls => DataAugmentation::RandCls,
            Self::Off => DataAugmentation::Off,
        }
    }
}

choice! {
    /// What happens when a record of a shard is corrupt: its bytes are not those that were written, or
    /// no image that is accepted. It is named in either case.
    OnCorrupt {
        /// The run ends.
        Fail = "fail",
        /// Training and evaluation go on without it, and say how many there were.
        Count = "count",
    }
}

impl DatasetName {
    /// Whether a dataset is prepared into shards of photographs before it is trained on.
    pub fn lies_in_shards(self) -> bool {
        matches!(self, Self::ImagenetLt | Self::PlacesLt | Self::Inaturalist2018 | Self::Folder)
    }

    /// The recipes that a dataset has.
    pub fn recipes(self) -> &'static [DataAugmentation] {
        use DataAugmentation::{Affine, AutoAug, CropFlip, Cutout, None, Off, RandCls, SimAug};
        if self.lies_in_shards() {
            &[CropFlip, None, SimAug, RandCls, Off]
        } else {
            &[CropFlip, None, AutoAug, Cutout, Affine, SimAug, Off]
        }
    }
}
