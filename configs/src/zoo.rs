//! The pure half of the zoo: what is known of a network without building it. Help, validation,
//! `lcsl bench step` and the protocols read this table; layers are in
//! `trainer/src/engine/network/backbones/`.

use crate::run_config::{DatasetName, ModelName, Protocol};

/// One network of the zoo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name.
    pub name: ModelName,
    /// The smallest height and width of an image, in pixels, that it takes.
    pub smallest_input: usize,
    /// Pixels of the image, in each direction, for one pixel of the last stage's feature map: a power
    /// of two.
    pub stride: usize,
    /// Height and width of the patches that it cuts images into; such a network has no batch normalisation.
    pub patch: Option<usize>,
    /// The datasets that the published code trains it on.
    pub published_for: &'static [DatasetName],
    /// How the code that it comes from draws its first weights.
    pub source_initialisation: Initialisation,
}

/// How first weights are drawn. Scales of batch normalisation are 1 and shifts 0 in all of them, and a
/// classifier's bias is uniform in ±1/√features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialisation {
    /// Convolutions and classifier normal with variance 2/fan-in (He et al., ICCV 2015): a classifier
    /// that is sure of itself before it has learnt anything.
    KaimingNormalFanIn,
    /// Convolutions and classifier uniform in ±1/√fan-in: `torch.nn.Conv2d` and `torch.nn.Linear` as
    /// they come (Kaiming uniform with a = √5).
    PytorchDefault,
    /// Convolutions normal with variance 2/fan-out, the classifier as PyTorch has it: torchvision's
    /// networks. Fan-out counts all output channels, also of a convolution in groups.
    KaimingNormalFanOut,
    /// As torchvision draws its vision transformers: projections uniform with variance 2/(fan-in + fan-out), positions
    /// normal with deviation 0.02, class token and classifier 0.
    VisionTransformer,
}

/// The smallest image that a configuration may ask for, in pixels.
pub(crate) const SMALLEST_IMAGE: usize = 8;

/// Every network there is, in the order of [`ModelName::WORDS`].
///
/// The published script draws its ResNet-34 and its ResNet-50 as PyTorch does, and takes ResNeXt-50
/// from torchvision; networks for photographs that it does not know are drawn as torchvision does. It never trains the
/// two small networks; they are drawn as the one that it trains in their place.
pub const ZOO: &[ModelEntry] = &[
    small(ModelName::Resnet20, 4, &[]),
    small(ModelName::Resnet32, 4, &[]),
    small(ModelName::Resnet34Cifar, 8, &[DatasetName::Cifar10, DatasetName::Cifar100]),
    for_photographs(ModelName::Resnet18, &[], Initialisation::KaimingNormalFanOut),
    for_photographs(ModelName::Resnet34, &[], Initialisation::KaimingNormalFanOut),
    for_photographs(
        ModelName::Resnet50,
        &[DatasetName::Inaturalist2018],
        Initialisation::PytorchDefault,
    ),
    for_photographs(ModelName::Resnet101, &[], Initialisation::KaimingNormalFanOut),
    for_photographs(ModelName::Resnet152, &[], Initialisation::KaimingNormalFanOut),
    for_photographs(
        ModelName::Resnext50,
        &[DatasetName::ImagenetLt],
        Initialisation::KaimingNormalFanOut,
    ),
    for_photographs(ModelName::Resnext101, &[], Initialisation::KaimingNormalFanOut),
    ModelEntry {
        name: ModelName::VitB16,
        smallest_input: 32,
        stride: 16,
        patch: Some(16),
        published_for: &[],
        source_initialisation: Initialisation::VisionTransformer,
    },
];

/// A network whose first convolution keeps the size of the image.
const fn small(
    name: ModelName,
    stride: usize,
    published_for: &'static [DatasetName],
) -> ModelEntry {
    let source_initialisation = Initialisation::PytorchDefault;
    ModelEntry {
        name,
        smallest_input: SMALLEST_IMAGE,
        stride,
        patch: None,
        published_for,
        source_initialisation,
    }
}

/// A network that halves the image five times; below 32 pixels stages before the last would see one pixel,
/// and padding around it.
const fn for_photographs(
    name: ModelName,
    published_for: &'static [DatasetName],
    source_initialisation: Initialisation,
) -> ModelEntry {
    ModelEntry {
        name,
        smallest_input: 32,
        stride: 32,
        patch: None,
        published_for,
        source_initialisation,
    }
}

impl ModelEntry {
    /// Height and width of the last stage's feature map, the smallest that batch normalisation sees, for
    /// an image of this height and width. Each halving rounds up.
    pub fn smallest_map(&self, image_size: usize) -> usize {
        image_size.div_ceil(self.stride)
    }

    /// How its first weights are drawn: under `paper` as its source does, under `honest` by
    /// [`Initialisation::KaimingNormalFanIn`] whatever the residual network.
    pub fn initialisation(&self, protocol: Protocol) -> Initialisation {
        match protocol {
            Protocol::Honest if self.patch.is_some() => self.source_initialisation,
            Protocol::Honest => Initialisation::KaimingNormalFanIn,
            Protocol::Paper => self.source_initialisation,
        }
    }
}

impl ModelName {
    /// What the zoo knows of it.
    pub fn entry(self) -> &'static ModelEntry {
        ZOO.iter()
            .find(|entry| entry.name == self)
            .expect("a test shows that the table is complete")
    }
}

/// The network that the published code trains on `dataset`; none where it does not know the dataset.
pub fn published_network(dataset: DatasetName) -> Option<ModelName> {
    ZOO.iter().find(|entry| entry.published_for.contains(&dataset)).map(|entry| entry.name)
}

/// Every network with what a person has to know to choose it, for the help.
pub fn network_listing() -> String {
    let line = |entry: &ModelEntry| {
        let published = entry.published_for.iter().map(|dataset| dataset.word());
        let published: Vec<&str> = published.collect();
        let smallest = (entry.smallest_input > SMALLEST_IMAGE)
            .then(|| format!("from {} pixels", entry.smallest_input));
        let published =
            (!published.is_empty()).then(|| format!("published for {}", published.join(" and ")));
        let known: Vec<String> = smallest.into_iter().chain(published).collect();
        match known.as_slice() {
            [] => entry.name.word().to_owned(),
            known => format!("{} ({})", entry.name, known.join("; ")),
        }
    };
    ZOO.iter().map(line).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_has_its_line() {
        let names: Vec<&str> = ZOO.iter().map(|entry| entry.name.word()).collect();
        assert_eq!(names, ModelName::WORDS);
        for entry in ZOO {
            assert_eq!(entry.name.entry(), entry);
            assert!(entry.stride.is_power_of_two());
            assert!(entry.smallest_map(entry.smallest_input) >= 1);
        }
    }

    #[test]
    fn the_last_feature_map_is_the_image_halved_and_rounded_up() {
        let map = |name: ModelName, size| name.entry().smallest_map(size);
        assert_eq!([8, 16, 28, 32].map(|size| map(ModelName::Resnet20, size)), [2, 4, 7, 8]);
        assert_eq!([8, 9, 32].map(|size| map(ModelName::Resnet34Cifar, size)), [1, 2, 4]);
        assert_eq!([32, 33, 224].map(|size| map(ModelName::Resnet50, size)), [1, 2, 7]);
    }

    #[test]
    fn a_dataset_has_at_most_one_published_network() {
        let networks = |dataset: &&str| {
            let dataset: DatasetName = dataset.parse().expect("a word of the list");
            ZOO.iter().filter(|entry| entry.published_for.contains(&dataset)).count()
        };
        assert!(DatasetName::WORDS.iter().map(networks).all(|count| count <= 1));
        assert_eq!(published_network(DatasetName::Cifar10), Some(ModelName::Resnet34Cifar));
        assert_eq!(published_network(DatasetName::Folder), None);
    }
}
