//! The datasets that can be fetched and prepared.

use clap::ValueEnum;

/// The datasets of `lcsl data prepare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum DatasetToPrepare {
    /// An ImageNet folder with its three lists, or with train.csv and val.csv
    #[value(alias = "imagenet", alias = "imagenet-lt")]
    ImagenetLt,
    /// A folder of Places365 with the three lists
    #[value(alias = "places", alias = "places-lt")]
    PlacesLt,
    /// The folder of images and the two json files
    #[value(name = "inaturalist2018", alias = "inaturalist")]
    Inaturalist2018,
    /// Any images, a folder for each class
    Folder,
    /// Any images, in whichever folders, without classes: for `lcsl train --unlabelled`
    Unlabelled,
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
