//! The zoo: which network goes by which name. What can be known without building one stands in the
//! configuration's table (`lcsl_config::ZOO`).

use lcsl_config::ModelName;

use super::Architecture;
use super::backbones::layers::{Shortcut, Stem};
use super::backbones::resnet::BlockForm;
use super::backbones::vit::VitForm;

/// The network of this name, for so many classes, and images of this height and width where that matters to its
/// layers.
pub fn architecture(name: ModelName, classes: i64, image_size: i64) -> Architecture {
    let photographs = |form, blocks| {
        let ways = (Stem::Photograph, Shortcut::DOWNSAMPLE);
        Architecture::four_stages(ways, form, blocks, classes)
    };
    let bottleneck = |groups, group_width| BlockForm::Bottleneck { groups, group_width };
    match name {
        ModelName::Resnet20 => Architecture::cifar(3, 16, Shortcut::Pad, classes),
        ModelName::Resnet32 => Architecture::cifar(5, 16, Shortcut::Pad, classes),
        ModelName::Resnet34Cifar => {
            let ways = (Stem::Small, Shortcut::SHORTCUT);
            Architecture::four_stages(ways, BlockForm::Basic, [3, 4, 6, 3], classes)
        }
        ModelName::Resnet18 => photographs(BlockForm::Basic, [2, 2, 2, 2]),
        ModelName::Resnet34 => photographs(BlockForm::Basic, [3, 4, 6, 3]),
        ModelName::Resnet50 => photographs(bottleneck(1, 64), [3, 4, 6, 3]),
        ModelName::Resnet101 => photographs(bottleneck(1, 64), [3, 4, 23, 3]),
        ModelName::Resnet152 => photographs(bottleneck(1, 64), [3, 8, 36, 3]),
        ModelName::Resnext50 => photographs(bottleneck(32, 4), [3, 4, 6, 3]),
        ModelName::Resnext101 => photographs(bottleneck(32, 8), [3, 4, 23, 3]),
        ModelName::VitB16 => {
            let (patch, width, depth, heads, hidden) = (16, 768, 12, 12, 3072);
            Architecture::vit(VitForm { image_size, patch, width, depth, heads, hidden }, classes)
        }
    }
}
