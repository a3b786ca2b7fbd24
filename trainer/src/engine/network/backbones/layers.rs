//! Layers that know where their parameters lie, not the parameters themselves.

use std::sync::{Arc, OnceLock};

use tch::Tensor;

use crate::engine::native::normalisation::SyncBatchNorm;
#[cfg(feature = "winograd")]
use crate::engine::native::winograd;
use crate::engine::network::Mode;
use crate::engine::network::flat::Slot;

/// How a residual block changes size and width on its shortcut (He et al., CVPR 2016, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// Option A: every second pixel, zero-padded channels, no parameters.
    Pad,
    /// Option B: a 1×1 convolution with batch normalisation, of this name in the state dictionary.
    Project(&'static str),
}

impl Shortcut {
    /// Option B under the name of the published code.
    pub const SHORTCUT: Self = Self::Project("shortcut");
    /// Option B under the name of torchvision.
    pub const DOWNSAMPLE: Self = Self::Project("downsample");
}

/// How an image enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stem {
    /// A 3×3 convolution: for small images.
    Small,
    /// A 7×7 convolution and a 3×3 maximum, each of which halves the image: for photographs.
    Photograph,
}

/// PyTorch's defaults for batch normalisation.
const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// The slots of a network while it is laid out; an index into one of the lists stands for a tensor.
#[derive(Debug, Default)]
pub struct Slots {
    /// Trained by the optimiser.
    pub parameters: Vec<Slot>,
    /// Moved by batch normalisation.
    pub running_statistics: Vec<Slot>,
    /// Where all normalisations look for the ranks that they share their statistics with.
    pub across: Arc<OnceLock<SyncBatchNorm>>,
}

impl Slots {
    /// Adds a parameter.
    pub fn parameter(&mut self, name: &str, shape: &[i64]) -> usize {
        self.parameters.push(Slot { name: name.to_owned(), shape: shape.to_vec() });
        self.parameters.len() - 1
    }

    fn statistic(&mut self, name: String, channels: i64) -> usize {
        self.running_statistics.push(Slot { name, shape: vec![channels] });
        self.running_statistics.len() - 1
    }
}

/// The kernel of a convolution that keeps the image's size at stride 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Rows and columns.
    pub size: i64,
    /// Pixels from one place to the next.
    pub stride: i64,
    /// Groups of channels that do not see each other.
    pub groups: i64,
}

/// A convolution without bias.
#[derive(Debug, Clone)]
pub struct Convolution {
    pub(in crate::engine::network) weight: usize,
    kernel: Kernel,
    /// A 1×1 kernel with a stride looks at every second pixel only.
    thins_first: bool,
}

impl Convolution {
    /// From and to so many channels.
    pub fn new(slots: &mut Slots, name: &str, channels: [i64; 2], kernel: Kernel) -> Self {
        let ([from, to], Kernel { size, stride, groups }) = (channels, kernel);
        let weight = slots.parameter(&format!("{name}.weight"), &[to, from / groups, size, size]);
        Self { weight, kernel, thins_first: size == 1 && stride > 1 }
    }

    /// (N, C, H, W) → (N, C′, H′, W′).
    ///
    /// Computes in the type of `x`. Most layers are 3×3 in multiples of 16 channels: in float32 on the CPU, Winograd's
    /// method then halves the time.
    pub fn forward(&self, x: &Tensor, parameters: &[Tensor]) -> Tensor {
        let weight = &parameters[self.weight];
        #[cfg(feature = "winograd")]
        if self.suits_winograd(weight, x.kind()) {
            return winograd::convolution(x, weight);
        }
        self.direct(x, &weight.to_kind(x.kind()), None)
    }

    /// Whether there is a faster way for a weight like this one, and images of this type.
    #[cfg(feature = "winograd")]
    pub(in crate::engine::network) fn suits_winograd(
        &self,
        weight: &Tensor,
        images: tch::Kind,
    ) -> bool {
        self.kernel.groups == 1
            && winograd::suits(&weight.size(), self.kernel.stride, images, weight.device())
    }

    /// libtorch's own convolution.
    ///
    /// The pixels that a strided 1×1 kernel looks at are taken out first. The result is the same;
    /// but oneDNN's kernel for the strided case (`jit_1x1`, backward by weights, AVX2,
    /// channels-last) writes outside its memory where channels do not fill a vector.
    pub(in crate::engine::network) fn direct(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Tensor {
        let Kernel { size, stride, groups } = self.kernel;
        let padding = [size / 2; 2];
        if self.thins_first {
            let x = every_nth_pixel(x, stride);
            return x.conv2d(weight, bias, [1, 1], padding, [1, 1], groups);
        }
        x.conv2d(weight, bias, [stride; 2], padding, [1, 1], groups)
    }
}

/// Batch normalisation over (N, H, W).
#[derive(Debug)]
pub struct Normalisation {
    weight: usize,
    bias: usize,
    mean: usize,
    variance: usize,
    across: Arc<OnceLock<SyncBatchNorm>>,
}

impl Normalisation {
    /// One scale, shift, mean and variance per channel.
    pub fn new(slots: &mut Slots, name: &str, channels: i64) -> Self {
        Self {
            weight: slots.parameter(&format!("{name}.weight"), &[channels]),
            bias: slots.parameter(&format!("{name}.bias"), &[channels]),
            mean: slots.statistic(format!("{name}.running_mean"), channels),
            variance: slots.statistic(format!("{name}.running_var"), channels),
            across: slots.across.clone(),
        }
    }

    /// Scale and shift per channel that stand for this layer when it uses the running statistics.
    pub(in crate::engine::network) fn folded(
        &self,
        parameters: &[Tensor],
        running_statistics: &[Tensor],
    ) -> (Tensor, Tensor) {
        let scale =
            &parameters[self.weight] / (&running_statistics[self.variance] + EPSILON).sqrt();
        let shift = &parameters[self.bias] - &running_statistics[self.mean] * &scale;
        (scale, shift)
    }

    /// Same shape out as in. Statistics are those of the batch, or of all ranks' batches.
    pub fn forward(
        &self,
        x: &Tensor,
        parameters: &[Tensor],
        running_statistics: &[Tensor],
        mode: Mode,
    ) -> Tensor {
        if let (Mode::Train, Some(across)) = (mode, self.across.get()) {
            let (weight, bias) = (&parameters[self.weight], &parameters[self.bias]);
            // The sums over ranks know one type.
            let made = across.batch_norm(&x.to_kind(weight.kind()), weight, bias, EPSILON);
            let _guard = tch::no_grad_guard();
            for (running, new) in [(self.mean, made.mean), (self.variance, made.variance)] {
                let mut running = running_statistics[running].shallow_clone();
                let _ = running.lerp_(&new.to_kind(running.kind()), MOMENTUM);
            }
            return made.result.to_kind(x.kind());
        }
        x.batch_norm(
            Some(&parameters[self.weight]),
            Some(&parameters[self.bias]),
            Some(&running_statistics[self.mean]),
            Some(&running_statistics[self.variance]),
            mode == Mode::Train,
            MOMENTUM,
            EPSILON,
            true,
        )
    }
}

/// What the first convolution of a stem leaves, rectified, on its way to the blocks.
pub(in crate::engine::network) fn entered(x: Tensor, stem: Stem) -> Tensor {
    match stem {
        Stem::Small => x,
        Stem::Photograph => x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false),
    }
}

/// Every second pixel of (N, C, H, W), with this many zero channels before and after.
pub(in crate::engine::network) fn padded(x: &Tensor, channels: i64) -> Tensor {
    every_nth_pixel(x, 2).constant_pad_nd([0, 0, 0, 0, channels, channels])
}

/// Rows and columns 0, n, 2n, … of (N, C, H, W), as a view.
fn every_nth_pixel(x: &Tensor, n: i64) -> Tensor {
    x.slice(2, None, None, n).slice(3, None, None, n)
}

/// What is added to a block's last normalisation.
#[derive(Debug)]
pub(in crate::engine::network) enum Skip {
    /// The block's input.
    Identity,
    /// Every second pixel, with this many zero channels before and after: option A, without
    /// parameters.
    Pad(i64),
    /// A 1×1 convolution and normalisation: option B.
    Project((Convolution, Normalisation)),
}

/// Convolutions, each with its normalisation, around a shortcut.
#[derive(Debug)]
pub struct Block {
    /// `ReLU` stands between them, and behind the last once the shortcut is added.
    pub(in crate::engine::network) body: Vec<(Convolution, Normalisation)>,
    pub(in crate::engine::network) skip: Skip,
}

impl Block {
    /// `name` is the block's path, for example `layer2.0`; `body` says channels and kernel of each
    /// convolution, and `shortcut` matters only where size or width changes.
    pub fn new(
        slots: &mut Slots,
        name: &str,
        body: &[([i64; 2], Kernel)],
        stride: i64,
        shortcut: Shortcut,
    ) -> Self {
        let mut layer = |convolution: &str, normalisation: &str, channels: [i64; 2], kernel| {
            (
                Convolution::new(slots, &format!("{name}.{convolution}"), channels, kernel),
                Normalisation::new(slots, &format!("{name}.{normalisation}"), channels[1]),
            )
        };
        let (from, to) = (body[0].0[0], body[body.len() - 1].0[1]);
        let body = body.iter().zip(1..).map(|(&(channels, kernel), number)| {
            layer(&format!("conv{number}"), &format!("bn{number}"), channels, kernel)
        });
        let body = body.collect();
        let skip = match shortcut {
            _ if stride == 1 && from == to => Skip::Identity,
            Shortcut::Pad => Skip::Pad((to - from) / 2),
            Shortcut::Project(name) => {
                let kernel = Kernel { size: 1, stride, groups: 1 };
                Skip::Project(layer(&format!("{name}.0"), &format!("{name}.1"), [from, to], kernel))
            }
        };
        Self { body, skip }
    }

    /// (N, C, H, W) → (N, C′, H′, W′).
    pub fn forward(
        &self,
        x: &Tensor,
        parameters: &[Tensor],
        running_statistics: &[Tensor],
        mode: Mode,
    ) -> Tensor {
        let normalised = |(convolution, normalisation): &(Convolution, Normalisation),
                          x: &Tensor| {
            normalisation.forward(
                &convolution.forward(x, parameters),
                parameters,
                running_statistics,
                mode,
            )
        };
        let mut y = x.shallow_clone();
        for (number, layer) in self.body.iter().enumerate() {
            if number > 0 {
                y = y.relu_();
            }
            y = normalised(layer, &y);
        }
        let skipped = match &self.skip {
            Skip::Identity => x.shallow_clone(),
            Skip::Pad(channels) => padded(x, *channels),
            Skip::Project(projection) => normalised(projection, x),
        };
        (y + skipped).relu_()
    }
}
