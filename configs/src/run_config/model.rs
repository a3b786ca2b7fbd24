//! `[model]`: the network.

use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// The network that is trained; the teacher has the same architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The architecture.
    pub name: ModelName,
    /// Whether the labelling teacher's classifier rows are divided by their L2 norm. The published
    /// flag is a number of which the published code only asks whether it is above 0.
    pub fc_norm: bool,
    /// What turns features into logits.
    pub head: Head,
    /// By what a cosine head multiplies its cosines, above 0.
    pub cosine_scale: f64,
    /// A safetensors file that the first weights are taken from; empty where they are drawn.
    pub init: String,
}

choice! {
    /// What turns features into logits.
    Head {
        /// A linear layer with a bias.
        Linear = "linear",
        /// Cosines of the angles between features and the rows of a weight, times a scale; no bias.
        Cosine = "cosine",
    }
}

choice! {
    /// The architectures: the first three for small images, the others for photographs.
    ModelName {
        /// CIFAR residual network of depth 20, 0.27 M parameters (He et al., CVPR 2016, section
        /// 4.2).
        Resnet20 = "resnet20",
        /// CIFAR residual network of depth 32, 0.46 M parameters (He et al., CVPR 2016, section
        /// 4.2).
        Resnet32 = "resnet32",
        /// ResNet-34 with a 3×3 first convolution, 21.3 M parameters: what the published code calls
        /// `ResNet32`.
        Resnet34Cifar = "resnet34_cifar",
        /// ResNet-18 for photographs, 11.7 M parameters, as torchvision has it.
        Resnet18 = "resnet18",
        /// ResNet-34 for photographs, 21.8 M parameters, as torchvision has it.
        Resnet34 = "resnet34",
        /// ResNet-50, 25.6 M parameters, as torchvision has it ("v1.5"): the published network for
        /// iNaturalist 2018.
        Resnet50 = "resnet50",
        /// ResNet-101, 44.5 M parameters, as torchvision has it.
        Resnet101 = "resnet101",
        /// ResNet-152, 60.2 M parameters, as torchvision has it.
        Resnet152 = "resnet152",
        /// ResNeXt-50 of 32 groups of 4 channels, 25.0 M parameters (Xie et al., CVPR 2017): the
        /// published network for ImageNet-LT.
        Resnext50 = "resnext50_32x4d",
        /// ResNeXt-101 of 32 groups of 8 channels, 88.8 M parameters, as torchvision has it.
        Resnext101 = "resnext101_32x8d",
        /// A vision transformer (Dosovitskiy et al., ICLR 2021): 12 blocks of width 768 over patches of 16×16 pixels.
        VitB16 = "vit_b_16",
    }
}
