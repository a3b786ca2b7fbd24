//! Which layers a named model has.

use lcsl_config::ModelName;

use super::layers::{Block, Convolution, Normalisation, Slots};

/// How a residual block changes size and width on its shortcut (He et al., CVPR 2016, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// Option A: every second pixel, zero-padded channels, no parameters.
    Pad,
    /// Option B: a 1×1 convolution with batch normalisation.
    Project,
}

/// A residual network of basic blocks: a 3×3 stem, stages of blocks (each but the first halves the
/// image), mean over the image, and a linear classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    /// Channels of each stage; the stem has those of the first.
    pub widths: Vec<i64>,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Shortcut where size or width changes.
    pub shortcut: Shortcut,
    /// Outputs of the classifier.
    pub classes: i64,
}

impl Architecture {
    /// Depth 6n + 2 with three stages of widths w, 2w, 4w.
    pub fn cifar(n: usize, width: i64, shortcut: Shortcut, classes: i64) -> Self {
        Self { widths: vec![width, 2 * width, 4 * width], blocks: vec![n; 3], shortcut, classes }
    }

    /// The model that goes by this name.
    pub fn named(name: ModelName, classes: i64) -> Self {
        match name {
            ModelName::Resnet20 => Self::cifar(3, 16, Shortcut::Pad, classes),
            ModelName::Resnet32 => Self::cifar(5, 16, Shortcut::Pad, classes),
            ModelName::Resnet34Cifar => Self {
                widths: vec![64, 128, 256, 512],
                blocks: vec![3, 4, 6, 3],
                shortcut: Shortcut::Project,
                classes,
            },
        }
    }

    /// Inputs of the classifier.
    pub fn features(&self) -> i64 {
        self.widths[self.widths.len() - 1]
    }

    /// Reserves a slot for every tensor before the classifier, in PyTorch's order.
    pub(super) fn lay_out(&self, slots: &mut Slots) -> ((Convolution, Normalisation), Vec<Block>) {
        let mut width = self.widths[0];
        let stem = (
            Convolution::new(slots, "conv1", [3, width], 3, 1),
            Normalisation::new(slots, "bn1", width),
        );
        let mut blocks = Vec::new();
        for (stage, (&to, &count)) in self.widths.iter().zip(&self.blocks).enumerate() {
            for index in 0..count {
                let name = format!("layer{}.{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                blocks.push(Block::new(slots, &name, [width, to], stride, self.shortcut));
                width = to;
            }
        }
        (stem, blocks)
    }
}
