//! What is asked of a preparation.

use std::path::PathBuf;

use crate::shard::Form;

/// The datasets that can be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// ImageNet-LT: an ImageNet folder and the published lists.
    ImagenetLt,
    /// iNaturalist 2018: its images and its json files.
    Inaturalist2018,
    /// Any images, a folder for each class.
    Folder,
    /// Drawn from a seed, with given numbers of images per class.
    Synthetic,
    /// CIFAR-10, as arrays.
    Cifar10,
    /// CIFAR-100, as arrays.
    Cifar100,
    /// Fashion-MNIST, as arrays.
    FashionMnist,
}

impl Kind {
    /// The name as it is written on a command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::ImagenetLt => "imagenet_lt",
            Self::Inaturalist2018 => "inaturalist2018",
            Self::Folder => "folder",
            Self::Synthetic => "synthetic",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::FashionMnist => "fashion_mnist",
        }
    }
}

/// What to prepare, from where, into which form.
#[derive(Clone, Debug)]
pub struct Request {
    /// The dataset.
    pub kind: Kind,
    /// The folder that holds it; not read for [`Kind::Synthetic`].
    pub root: PathBuf,
    /// The folder to write: made where it is not there.
    pub out: PathBuf,
    /// What is stored of an image.
    pub form: Form,
    /// JPEGs with a longer side than this, in pixels, are made smaller and encoded again.
    pub max_side: Option<u32>,
    /// Quality of JPEGs that are encoded here, 1 to 100.
    pub quality: u8,
    /// Draws the order in which training images are stored, which ones a selection keeps, and the
    /// images of [`Kind::Synthetic`].
    pub seed: u64,
    /// Images of a shard.
    pub images_per_shard: u32,
    /// Whether anything but the official files is an error.
    pub official: bool,
    /// Threads that write shards.
    pub threads: usize,
    /// For [`Kind::Folder`]: smallest class over largest class of an exponential profile that is
    /// cut from the training images.
    pub imb_factor: Option<f64>,
    /// Images of each class that are held out for validation ([`Kind::Folder`]) or drawn for it
    /// ([`Kind::Synthetic`]).
    pub val_per_class: usize,
    /// For [`Kind::Synthetic`]: test images per class.
    pub test_per_class: usize,
    /// For [`Kind::Synthetic`]: a file with the number of training images of each class, one a
    /// line.
    pub counts: Option<PathBuf>,
    /// For [`Kind::Synthetic`]: width and height of an image in pixels.
    pub image_size: u32,
}
