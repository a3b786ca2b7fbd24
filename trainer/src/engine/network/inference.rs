//! A network that only answers: batch normalisation folded into the convolutions.
//!
//! With fixed running statistics, normalisation is a scale and a shift per channel. The scale goes
//! into the convolution's weight, the shift becomes its bias, and bias, shortcut and `ReLU` are applied
//! while a result is written (Jacob et al., CVPR 2018, section 3.2).

use tch::{Kind, Tensor};

use super::backbones::Backbone;
use super::backbones::layers::{Block, Convolution, Normalisation, Skip, entered, padded};
use super::backbones::resnet::ResNet;
use super::backbones::vit::Vit;
use super::head::Head;
use super::{Network, Stem};
#[cfg(feature = "winograd")]
use crate::engine::native::winograd::FoldedKernel;

/// The features of a [`Network`] as it is now, in [`super::Mode::Evaluate`]. A copy: the network may move on.
#[derive(Debug)]
pub struct Folded {
    form: FoldedForm,
    /// The type in which it computes, and that of the features.
    kinds: [Kind; 2],
}

/// What convolutions are computed with.
#[derive(Debug, Clone, Copy)]
enum Kernels {
    Fastest,
    Libtorch,
}

#[derive(Debug)]
enum FoldedForm {
    Residual(FoldedResidual),
    /// Nothing can be folded: the parameters, in the type in which it computes.
    Vit(Vit, Vec<Tensor>),
}

#[derive(Debug)]
struct FoldedResidual {
    stem: Layer,
    entrance: Stem,
    blocks: Vec<FoldedBlock>,
}

/// A convolution and its normalisation.
#[derive(Debug)]
struct Layer {
    convolution: Convolution,
    weight: Weight,
}

#[derive(Debug)]
enum Weight {
    /// For the fast kernels.
    #[cfg(feature = "winograd")]
    Transformed(FoldedKernel),
    /// For libtorch: weight and bias.
    Plain(Tensor, Tensor),
}

#[derive(Debug)]
struct FoldedBlock {
    body: Vec<Layer>,
    skip: FoldedSkip,
}

#[derive(Debug)]
enum FoldedSkip {
    Identity,
    Pad(i64),
    Project(Layer),
}

impl Folded {
    /// Folds a network; costs about as much as reading its weights a few times.
    pub fn of(network: &Network) -> Self {
        Self::with(network, Kernels::Fastest)
    }

    fn with(network: &Network, kernels: Kernels) -> Self {
        let _guard = tch::no_grad_guard();
        let form = match &network.backbone {
            Backbone::ResNet(net) => {
                FoldedForm::Residual(FoldedResidual::of(net, network, kernels))
            }
            Backbone::Vit(net) => {
                let parameters = network.parameters.views().iter();
                FoldedForm::Vit(net.clone(), parameters.map(|it| it.detach().copy()).collect())
            }
        };
        Self { form, kinds: [network.compute, network.parameters.buffer.kind()] }
    }

    /// What the classifier sees (images × features) of images given as (N, H, W, C).
    pub fn features(&self, images: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let [compute, outside] = self.kinds;
        let images = images.to_kind(compute);
        match &self.form {
            FoldedForm::Residual(net) => net.features(&images, outside),
            FoldedForm::Vit(net, parameters) => net.features(&images, parameters).to_kind(outside),
        }
    }
}

/// A network that only answers, out of libtorch's operations alone, which every program has that has libtorch; what it
/// keeps of the network lies in memory of its own, and no larger than it has to be.
#[derive(Debug)]
pub struct Portable {
    folded: Folded,
    head: Head,
    /// Those of the head in their places; the others are empty.
    parameters: Vec<Tensor>,
}

impl Portable {
    /// Of a network as it is now.
    pub fn of(network: &Network) -> Self {
        let slots = network.head.slots();
        let parameters = network.parameters.views().iter().enumerate();
        let parameters = parameters.map(|(slot, view)| {
            if slots.contains(&slot) { view.detach().copy() } else { Tensor::new() }
        });
        let parameters = parameters.collect();
        Self { folded: Folded::with(network, Kernels::Libtorch), head: network.head, parameters }
    }

    /// Logits (images × classes) of images given as (N, H, W, C).
    pub fn logits(&self, images: &Tensor) -> Tensor {
        let features = self.folded.features(images);
        self.head.logits(&features, self.head.classifier(&self.parameters))
    }
}

impl FoldedResidual {
    fn of(net: &ResNet, network: &Network, kernels: Kernels) -> Self {
        let layer = |layer: &(Convolution, Normalisation)| Layer::of(network, layer, kernels);
        let block = |block: &Block| FoldedBlock {
            body: block.body.iter().map(layer).collect(),
            skip: match &block.skip {
                Skip::Identity => FoldedSkip::Identity,
                Skip::Pad(channels) => FoldedSkip::Pad(*channels),
                Skip::Project(projection) => FoldedSkip::Project(layer(projection)),
            },
        };
        Self {
            stem: layer(&net.stem),
            entrance: net.entrance,
            blocks: net.blocks.iter().map(block).collect(),
        }
    }

    fn features(&self, images: &Tensor, outside: Kind) -> Tensor {
        let x = self.stem.apply(&images.permute([0, 3, 1, 2]), None, true);
        let mut x = entered(x, self.entrance);
        for FoldedBlock { body, skip } in &self.blocks {
            let skipped = match skip {
                FoldedSkip::Identity => x.shallow_clone(),
                FoldedSkip::Pad(channels) => padded(&x, *channels),
                FoldedSkip::Project(layer) => layer.apply(&x, None, false),
            };
            for (number, layer) in body.iter().enumerate() {
                let residual = (number + 1 == body.len()).then_some(&skipped);
                x = layer.apply(&x, residual, true);
            }
        }
        x.mean_dim([2_i64, 3].as_slice(), false, outside)
    }
}

impl Layer {
    fn of(
        network: &Network,
        (convolution, normalisation): &(Convolution, Normalisation),
        kernels: Kernels,
    ) -> Self {
        let (parameters, running_statistics) =
            (network.parameters.views(), network.running_statistics.views());
        let (scale, shift) = normalisation.folded(parameters, running_statistics);
        let weight = &parameters[convolution.weight] * scale.view([-1, 1, 1, 1]);
        let weight = match kernels {
            Kernels::Fastest => Weight::of(convolution, &weight, &shift, network.compute),
            Kernels::Libtorch => Weight::plain(&weight, &shift, network.compute),
        };
        Self { convolution: convolution.clone(), weight }
    }

    /// (N, C, H, W) → (N, C′, H′, W′), then `residual` added where there is one, then `ReLU` if
    /// `rectify`.
    fn apply(&self, x: &Tensor, residual: Option<&Tensor>, rectify: bool) -> Tensor {
        let (weight, bias) = match &self.weight {
            #[cfg(feature = "winograd")]
            Weight::Transformed(kernel) => return kernel.apply(x, residual, rectify),
            Weight::Plain(weight, bias) => (weight, bias),
        };
        let mut y = self.convolution.direct(x, weight, Some(bias));
        if let Some(residual) = residual {
            let _ = y.g_add_(residual);
        }
        if rectify { y.relu_() } else { y }
    }
}

impl Weight {
    /// Of a layer whose normalisation is already in `weight` and `bias`, for images of this type.
    #[cfg_attr(not(feature = "winograd"), allow(unused_variables))] // libtorch takes every weight
    fn of(convolution: &Convolution, weight: &Tensor, bias: &Tensor, compute: Kind) -> Self {
        #[cfg(feature = "winograd")]
        if convolution.suits_winograd(weight, compute) {
            return Self::Transformed(FoldedKernel::new(weight, bias));
        }
        Self::plain(weight, bias, compute)
    }

    fn plain(weight: &Tensor, bias: &Tensor, compute: Kind) -> Self {
        Self::Plain(weight.to_kind(compute), bias.to_kind(compute))
    }
}

#[cfg(test)]
mod tests {
    use lcsl_config::Initialisation;
    use tch::Device;

    use super::*;
    use crate::engine::network::weights::{Role, initialise};
    use crate::engine::network::{Architecture, Mode, ResidualForm, Shortcut};

    /// Both shortcuts, both forms, widths that suit the fast kernels and widths that do not.
    #[test]
    fn a_folded_network_answers_like_the_network() {
        let cases = [(4, Shortcut::Pad), (16, Shortcut::Pad), (16, Shortcut::SHORTCUT)];
        let small = cases.map(|(width, shortcut)| Architecture::cifar(1, width, shortcut, 10));
        let photographs = Architecture::residual(ResidualForm::of_few_channels(), 10);
        for (kind, limit) in [(Kind::Double, 1e-12), (Kind::Float, 1e-4)] {
            for architecture in small.iter().chain([&photographs]) {
                let mut network = Network::zeros(architecture, kind, Device::Cpu, false);
                initialise(&mut network, Initialisation::KaimingNormalFanIn, 3, Role::Student);
                let count = 5 * 36 * 27 * 3;
                let images = Tensor::arange(count, (Kind::Double, Device::Cpu)).sin();
                let images = images.view([5, 36, 27, 3]).to_kind(kind);
                for _ in 0..3 {
                    let _ = network.features(&images, Mode::Train); // statistics away from 0 and 1
                }
                let expected = network.features(&images, Mode::Evaluate);
                let found = Folded::of(&network).features(&images);
                let off = (&found - &expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]);
                assert!(off <= limit * scale, "{architecture:?} {kind:?}: {off} of {scale}");
            }
        }
    }
}
