//! What images of a dataset are like, known without opening it.

use super::{DatasetId, PixelNormalisation, cifar, fashion_mnist, prepared, synthetic};
use crate::images::Shape;

/// What images of a dataset are like when a network sees them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageForm {
    /// Their size.
    pub shape: Shape,
    /// How their bytes become numbers.
    pub normalisation: PixelNormalisation,
    /// Whether they come in any size and are evaluated on a square from their middle. Others have one size.
    pub are_photographs: bool,
}

impl DatasetId {
    /// What images of this dataset are like; `side` is that of squares where the dataset leaves it open.
    pub fn image_form(self, side: usize) -> ImageForm {
        let square = |channels| Shape { height: side, width: side, channels };
        let (shape, normalisation) = match self {
            Self::FashionMnist => (fashion_mnist::SHAPE, fashion_mnist::NORMALISATION),
            Self::Cifar10 => (cifar::SHAPE, cifar::CIFAR10.normalisation),
            Self::Cifar100 => (cifar::SHAPE, cifar::CIFAR100.normalisation),
            Self::Synthetic => (square(synthetic::CHANNELS), synthetic::NORMALISATION),
            Self::Inaturalist2018 => (square(3), prepared::INATURALIST),
            Self::ImagenetLt | Self::PlacesLt | Self::Folder => (square(3), prepared::IMAGENET),
        };
        let are_photographs = matches!(
            self,
            Self::Inaturalist2018 | Self::ImagenetLt | Self::PlacesLt | Self::Folder
        );
        ImageForm { shape, normalisation, are_photographs }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{SyntheticOptions, generate};
    use super::*;

    /// What is said of a dataset that is not opened is what it says itself.
    #[test]
    fn drawn_images_have_the_form_of_their_set() {
        let options = SyntheticOptions { image_size: 20, ..SyntheticOptions::default() };
        let set = generate(&options);
        let form = DatasetId::Synthetic.image_form(20);
        assert_eq!((form.shape, form.normalisation), (set.train.shape(), set.normalisation));
        assert!(!form.are_photographs);
    }
}
