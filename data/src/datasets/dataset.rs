//! What a dataset is once it is open.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::augment::Recipe;
use crate::images::ImageSet;

/// A dataset in memory: its training and test images, and what training needs to know about them.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Which dataset this is.
    pub name: DatasetId,
    /// The name of each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// The training images, before any long-tailed selection.
    pub train: Arc<ImageSet>,
    /// The test images.
    pub test: Arc<ImageSet>,
    /// How bytes become the numbers that a network sees.
    pub normalisation: PixelNormalisation,
    /// The augmentation that this dataset is usually trained with.
    pub recipe: Recipe,
    /// Says whether two runs saw the same data: BLAKE3 over the training set and then the test
    /// set, of each the number of images, height, width and channels (u64), all pixels (u8)
    /// and all labels (u32), integers little-endian.
    pub digest: [u8; 32],
}

impl Dataset {
    /// Puts a dataset together and computes its digest.
    pub(super) fn new(
        name: DatasetId,
        class_names: Vec<String>,
        [train, test]: [ImageSet; 2],
        normalisation: PixelNormalisation,
        recipe: Recipe,
    ) -> Self {
        let digest = digest([&train, &test]);
        let (train, test) = (Arc::new(train), Arc::new(test));
        Self { name, class_names, train, test, normalisation, recipe, digest }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// Training images of the largest class: where a long-tailed profile starts from.
    pub fn largest_class(&self) -> u64 {
        let mut counts = vec![0; self.classes()];
        for &label in self.train.labels() {
            counts[label as usize] += 1;
        }
        counts.into_iter().max().unwrap_or(0)
    }
}

/// Mean and standard deviation of each channel, with pixels scaled to `[0, 1]`.
///
/// A pixel becomes `(byte / 255 - mean) / std`. There are always three channels, as networks have:
/// the one channel of a grey image is repeated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelNormalisation {
    /// Mean of the red, green and blue channel.
    pub mean: [f32; 3],
    /// Standard deviation of the red, green and blue channel.
    pub std: [f32; 3],
}

/// The datasets that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatasetId {
    /// CIFAR-10: 10 classes of 32 by 32 colour photographs.
    Cifar10,
    /// CIFAR-100: 100 classes of 32 by 32 colour photographs.
    Cifar100,
    /// Fashion-MNIST: 10 classes of 28 by 28 grey pictures of clothes.
    FashionMnist,
    /// ImageNet-LT: 1,000 classes of photographs, in shards.
    ImagenetLt,
    /// Places-LT: 365 scenes, in shards.
    PlacesLt,
    /// iNaturalist 2018: 8,142 species, in shards.
    Inaturalist2018,
    /// Images of one's own, in shards.
    Folder,
    /// Made up on the spot: for demonstrations and tests.
    Synthetic,
}

impl DatasetId {
    /// Every dataset there is.
    pub const ALL: [Self; 8] = [
        Self::Cifar10,
        Self::Cifar100,
        Self::FashionMnist,
        Self::ImagenetLt,
        Self::PlacesLt,
        Self::Inaturalist2018,
        Self::Folder,
        Self::Synthetic,
    ];

    /// The name as it is written on a command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::FashionMnist => "fashion_mnist",
            Self::ImagenetLt => "imagenet_lt",
            Self::PlacesLt => "places_lt",
            Self::Inaturalist2018 => "inaturalist2018",
            Self::Folder => "folder",
            Self::Synthetic => "synthetic",
        }
    }
}

impl fmt::Display for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No dataset has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no dataset \"{0}\"; choose from {names}",
    names = DatasetId::ALL.map(DatasetId::as_str).join(", ")
)]
pub struct UnknownDataset(pub String);

impl FromStr for DatasetId {
    type Err = UnknownDataset;

    fn from_str(text: &str) -> Result<Self, UnknownDataset> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| UnknownDataset(text.to_owned()))
    }
}

fn digest(sets: [&ImageSet; 2]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for set in sets {
        let shape = set.shape();
        for size in [set.len(), shape.height, shape.width, shape.channels] {
            hasher.update(&(size as u64).to_le_bytes());
        }
        hasher.update(set.pixels());
        for label in set.labels() {
            hasher.update(&label.to_le_bytes());
        }
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Shape;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in DatasetId::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        let error = "mnist".parse::<DatasetId>().unwrap_err().to_string();
        insta::assert_snapshot!(error);
    }

    fn set(shape: (usize, usize), pixels: [u8; 4], labels: &[u32]) -> ImageSet {
        let (height, width) = shape;
        ImageSet::new(Shape { height, width, channels: 1 }, pixels.to_vec(), labels.to_vec())
    }

    #[test]
    fn the_digest_sees_shape_pixels_labels_and_part() {
        let plain = || set((2, 2), [1, 2, 3, 4], &[0]);
        let variants = [
            [plain(), plain()],
            [set((1, 4), [1, 2, 3, 4], &[0]), plain()],
            [set((2, 2), [1, 2, 3, 5], &[0]), plain()],
            [plain(), set((2, 2), [1, 2, 3, 5], &[0])],
            [set((2, 2), [1, 2, 3, 4], &[1]), plain()],
            [set((1, 2), [1, 2, 3, 4], &[0, 0]), plain()],
        ];
        let digests: std::collections::BTreeSet<[u8; 32]> =
            variants.iter().map(|[train, test]| digest([train, test])).collect();
        assert_eq!(digests.len(), variants.len());
    }
}
