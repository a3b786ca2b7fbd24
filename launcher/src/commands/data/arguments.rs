//! Arguments of `lcsl data …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lcsl_config::DataAugmentation;

/// The commands about datasets.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Fetch a dataset that may be had without a login; for others, say where they are
    Fetch(Fetch),
    /// Make shards, an index and a manifest from a dataset as it is published
    Prepare(Prepare),
    /// Write an index for WebDataset shards that were made elsewhere
    Index(Index),
    /// Compare every checksum, and tell everything that is wrong
    Verify(Verify),
    /// Show what is inside: counts, groups, sizes, and a contact sheet
    Inspect(Inspect),
    /// Time the loader that training uses, on images that are there
    Bench(Bench),
}

/// Arguments of `lcsl data index`.
#[derive(Debug, Args)]
pub struct Index {
    /// Folder with the shards, *.tar
    pub folder: PathBuf,
    /// Number of classes [default: one more than the largest label]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub classes: Option<u32>,
}

/// Arguments of `lcsl data verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Folder of a prepared dataset, or of one set of shards
    pub path: PathBuf,
    /// Threads that read [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}

/// Arguments of `lcsl data inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Folder of a prepared dataset, or of one set of shards
    pub path: PathBuf,
    /// Draw images of the largest and smallest classes of the first part into this PNG
    #[arg(long, value_name = "FILE")]
    pub sheet: Option<PathBuf>,
}

/// Arguments of `lcsl data bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Prepared dataset, folder of indexed shards, or folder of JPEG files
    pub path: PathBuf,
    /// Threads that decode [default: 2; arrays are copied by the loop itself]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Images of a batch
    #[arg(long = "batch_size", alias = "batch-size", value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch_size: u32,
    /// Side in pixels of the squares that come out [default: 224; that of the arrays]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub size: Option<u16>,
    /// Augmentation recipe, as training has it for such images
    #[arg(long = "data_aug", alias = "data-aug", value_name = "RECIPE", default_value = "crop_flip",
          value_parser = clap::builder::PossibleValuesParser::new(DataAugmentation::WORDS))]
    pub data_aug: String,
    /// Passes over all images that are measured, after one that is not
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub epochs: u16,
    /// Seed of the order and of the windows
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write the first N images as they come out to DIR, with where they come from
    #[arg(long, num_args = 2, value_names = ["N", "DIR"])]
    pub dump: Option<Vec<String>>,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `lcsl data fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// What to fetch
    #[arg(value_enum)]
    pub dataset: Dataset,
    /// Folder to put it into
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    pub root: PathBuf,
    /// Take the files from this address, a mirror; they are checked all the same
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
}

/// Arguments of `lcsl data prepare`.
#[derive(Debug, Args)]
pub struct Prepare {
    /// What to prepare
    #[arg(value_enum)]
    pub dataset: Dataset,
    /// Folder that holds the dataset as it is published
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    pub root: PathBuf,
    /// Folder to write: `datasets/imagenet_lt`, say
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What is stored of an image
    #[arg(long, value_enum, default_value = "jpeg")]
    pub form: Form,
    /// Width and height of raw images, in pixels
    #[arg(long = "raw_side", alias = "raw-side", value_name = "PIXELS", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub raw_side: u32,
    /// Make JPEGs with a longer side than this smaller [default: as they come]
    #[arg(long = "max_side", alias = "max-side", value_name = "PIXELS",
          value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub max_side: Option<u32>,
    /// Quality of JPEGs that are encoded again
    #[arg(long, value_name = "1-100", default_value_t = 95,
          value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,
    /// Draws the stored order, and which images are selected
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Images of a shard
    #[arg(long = "images_per_shard", alias = "images-per-shard", value_name = "N",
          default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub images_per_shard: u32,
    /// Refuse anything but the official files, instead of a warning
    #[arg(long)]
    pub official: bool,
    /// Threads that write shards [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// folder: cut a long-tailed training set, smallest class over largest
    #[arg(long = "imb_factor", alias = "imb-factor", value_name = "FACTOR")]
    pub imb_factor: Option<f64>,
    /// folder, synthetic: validation images of each class
    #[arg(long = "val_per_class", alias = "val-per-class", value_name = "N", default_value_t = 0)]
    pub val_per_class: usize,
    /// synthetic: test images of each class
    #[arg(
        long = "test_per_class",
        alias = "test-per-class",
        value_name = "N",
        default_value_t = 0
    )]
    pub test_per_class: usize,
    /// synthetic: file with the number of training images of each class, one a line
    #[arg(long, value_name = "FILE")]
    pub counts: Option<PathBuf>,
    /// synthetic: width and height of an image, in pixels
    #[arg(long = "image_size", alias = "image-size", value_name = "PIXELS", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub image_size: u32,
    /// Answer with the manifest on standard output
    #[arg(long)]
    pub json: bool,
}

/// The datasets of `lcsl data prepare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Dataset {
    /// An ImageNet folder with its three lists, or with train.csv and val.csv
    #[value(alias = "imagenet", alias = "imagenet-lt")]
    ImagenetLt,
    /// The folder of images and the two json files
    #[value(name = "inaturalist2018", alias = "inaturalist")]
    Inaturalist2018,
    /// Any JPEG or PNG images, a folder for each class
    Folder,
    /// Drawn pictures, as many as --counts says
    Synthetic,
    /// The binary form, as arrays
    Cifar10,
    /// The binary form, as arrays
    Cifar100,
    /// The four idx files, as arrays
    #[value(alias = "fashion-mnist")]
    FashionMnist,
}

/// What is stored of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The JPEG as it comes, wherever possible
    Jpeg,
    /// Pixels: resized, and the middle square cut out
    Raw,
}
