//! The zoo: which network goes by which name. What can be known without building one stands in the
//! configuration's table (`lcsl_config::ZOO`).

use lcsl_config::ModelName;

use super::backbones::layers::{Shortcut, Stem};
use super::backbones::resnet::{Architecture, BlockForm};

/// The network of this name, for so many classes.
pub fn architecture(name: ModelName, classes: i64) -> Architecture {
    let photographs = |groups, group_width| {
        let form = BlockForm::Bottleneck { groups, group_width };
        Architecture::sixteen(Stem::Photograph, form, Shortcut::DOWNSAMPLE, classes)
    };
    match name {
        ModelName::Resnet20 => Architecture::cifar(3, 16, Shortcut::Pad, classes),
        ModelName::Resnet32 => Architecture::cifar(5, 16, Shortcut::Pad, classes),
        ModelName::Resnet34Cifar => {
            Architecture::sixteen(Stem::Small, BlockForm::Basic, Shortcut::SHORTCUT, classes)
        }
        ModelName::Resnet50 => photographs(1, 64),
        ModelName::Resnext50 => photographs(32, 4),
    }
}
