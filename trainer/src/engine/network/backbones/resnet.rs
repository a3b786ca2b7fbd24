//! Residual networks (He et al., CVPR 2016).

use tch::Tensor;

use super::layers::{Block, Convolution, Kernel, Normalisation, Shortcut, Slots, Stem, entered};
use crate::engine::network::Mode;

/// What a block computes beside its shortcut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockForm {
    /// Two 3×3 convolutions.
    Basic,
    /// A 1×1 convolution, a 3×3 one in groups, and a 1×1 one that makes four times as many channels as the
    /// stage's width (He et al., CVPR 2016, section 4.1; with groups, Xie et al., CVPR 2017). The 3×3
    /// convolution has the stride, as in torchvision ("v1.5").
    Bottleneck {
        /// Groups of the 3×3 convolution.
        groups: i64,
        /// Channels of each group in a stage of width 64; other stages have them in proportion.
        group_width: i64,
    },
}

impl BlockForm {
    /// Channels that come out, in widths of the stage.
    fn expansion(self) -> i64 {
        if self == Self::Basic { 1 } else { 4 }
    }
}

/// What a residual network looks like before its classifier: a stem, stages of blocks (each but the first halves the
/// image), and the mean over the image.
#[derive(Debug, Clone, PartialEq)]
pub struct ResidualForm {
    /// How an image enters.
    pub stem: Stem,
    /// What each block computes.
    pub form: BlockForm,
    /// Width of each stage; the stem has the channels of the first.
    pub widths: Vec<i64>,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Shortcut where size or width changes.
    pub shortcut: Shortcut,
}

#[cfg(test)]
impl ResidualForm {
    /// As for photographs, with few channels: tests of what is made of a network take it.
    pub(crate) fn of_few_channels() -> Self {
        Self {
            stem: Stem::Photograph,
            form: BlockForm::Bottleneck { groups: 2, group_width: 32 },
            widths: vec![16, 32, 64],
            blocks: vec![2; 3],
            shortcut: Shortcut::DOWNSAMPLE,
        }
    }
}

impl ResidualForm {
    /// Inputs of the classifier.
    pub fn features(&self) -> i64 {
        self.widths[self.widths.len() - 1] * self.form.expansion()
    }

    /// Reserves a slot for every tensor before the classifier, in PyTorch's order.
    pub(in crate::engine::network) fn lay_out(&self, slots: &mut Slots) -> ResNet {
        let mut channels = self.widths[0];
        let kernel = match self.stem {
            Stem::Small => Kernel { size: 3, stride: 1, groups: 1 },
            Stem::Photograph => Kernel { size: 7, stride: 2, groups: 1 },
        };
        let stem = (
            Convolution::new(slots, "conv1", [3, channels], kernel),
            Normalisation::new(slots, "bn1", channels),
        );
        let mut blocks = Vec::new();
        for (stage, (&width, &count)) in self.widths.iter().zip(&self.blocks).enumerate() {
            for index in 0..count {
                let name = format!("layer{}.{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let body = self.body(channels, width, stride);
                blocks.push(Block::new(slots, &name, &body, stride, self.shortcut));
                channels = width * self.form.expansion();
            }
        }
        ResNet { entrance: self.stem, stem, blocks }
    }

    /// The convolutions of a block: channels in and out, and kernel.
    fn body(&self, from: i64, width: i64, stride: i64) -> Vec<([i64; 2], Kernel)> {
        match self.form {
            BlockForm::Basic => vec![
                ([from, width], Kernel { size: 3, stride, groups: 1 }),
                ([width, width], Kernel { size: 3, stride: 1, groups: 1 }),
            ],
            BlockForm::Bottleneck { groups, group_width } => {
                let inner = width * group_width / 64 * groups;
                let point = Kernel { size: 1, stride: 1, groups: 1 };
                vec![
                    ([from, inner], point),
                    ([inner, inner], Kernel { size: 3, stride, groups }),
                    ([inner, width * self.form.expansion()], point),
                ]
            }
        }
    }
}

/// A residual network before its head: layers that know where their parameters lie.
#[derive(Debug)]
pub struct ResNet {
    pub(in crate::engine::network) entrance: Stem,
    pub(in crate::engine::network) stem: (Convolution, Normalisation),
    pub(in crate::engine::network) blocks: Vec<Block>,
}

impl ResNet {
    /// What the head sees (images × features) of images given as (N, H, W, C), with these parameters and
    /// running statistics.
    ///
    /// The images are handed to the convolutions as a permuted view, which libtorch recognises as
    /// channels-last: on a CPU with few channels per layer that is 1.2 to 1.5 times as fast as the
    /// usual layout.
    pub fn features(
        &self,
        images: &Tensor,
        parameters: &[Tensor],
        running_statistics: &[Tensor],
        mode: Mode,
    ) -> Tensor {
        let (convolution, normalisation) = &self.stem;
        let x = convolution.forward(&images.permute([0, 3, 1, 2]), parameters);
        let x = normalisation.forward(&x, parameters, running_statistics, mode).relu_();
        let mut x = entered(x, self.entrance);
        for block in &self.blocks {
            x = block.forward(&x, parameters, running_statistics, mode);
        }
        x.mean_dim([2_i64, 3].as_slice(), false, parameters[0].kind())
    }
}
