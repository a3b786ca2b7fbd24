//! What turns images into features, a file for each family.
//!
//! A further family is its file, and a variant here for what a [`super::Network`] is asked: features, and
//! (`inference.rs`) features of a copy that only answers.

pub mod layers;
pub mod resnet;
pub mod vit;

use tch::Tensor;

use self::resnet::ResNet;
use self::vit::Vit;
use super::Mode;

/// A network before its head.
#[derive(Debug)]
pub enum Backbone {
    /// A residual network.
    ResNet(ResNet),
    /// A vision transformer.
    Vit(Vit),
}

impl Backbone {
    /// What the head sees (images × features) of images given as (N, H, W, C), with these parameters and
    /// running statistics.
    pub fn features(
        &self,
        images: &Tensor,
        parameters: &[Tensor],
        running_statistics: &[Tensor],
        mode: Mode,
    ) -> Tensor {
        match self {
            Self::ResNet(net) => net.features(images, parameters, running_statistics, mode),
            Self::Vit(net) => net.features(images, parameters),
        }
    }
}
