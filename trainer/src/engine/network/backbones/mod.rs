//! What turns images into features, a file for each family.
//!
//! A further family is its file, and a variant here for what a [`super::Network`] is asked: features, and
//! (`inference.rs`) features of a copy that only answers.

pub mod layers;
pub mod resnet;

use tch::Tensor;

use self::resnet::ResNet;
use super::Mode;

/// A network before its head.
#[derive(Debug)]
pub enum Backbone {
    /// A residual network.
    ResNet(ResNet),
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
        }
    }
}
