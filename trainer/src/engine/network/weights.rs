//! Initial weights.
//!
//! Drawn from the run's own streams, never from libtorch's generator, so that they depend on the
//! seed and on nothing else: each tensor has its own stream, whose place is the tensor's position
//! in the network.

use lcsl_config::Initialisation;
use lcsl_data::random::{Purpose, Stream};
use tch::Tensor;

use super::Network;

/// Which of a run's networks is initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The network that trains.
    Student,
    /// The random network that protocol `paper` begins to label with.
    FirstTeacher,
    /// The student's classifier at the beginning of a stage.
    RestartedClassifier,
}

/// Convolutions and classifier as `initialisation` says, unit scales, zero shifts, a classifier bias
/// uniform in ±1/√features; running statistics as of a standard normal input.
pub fn initialise(network: &mut Network, initialisation: Initialisation, seed: u64, role: Role) {
    let _guard = tch::no_grad_guard();
    let features = network.architecture().features() as f64;
    for (position, (name, view)) in network.parameters.named().enumerate() {
        let mut stream = Stream::new(seed, Purpose::Weights, role as u64, position as u64, 0);
        let shape = view.size();
        let elements = view.numel();
        let distribution = match initialisation {
            Initialisation::VisionTransformer => of_transformer(name, &shape),
            _ => distribution(initialisation, name, &shape, features),
        };
        let values: Vec<f64> = match distribution {
            Distribution::Normal { deviation } => {
                (0..elements).map(|_| stream.normal() * deviation).collect()
            }
            Distribution::Uniform { bound } => {
                (0..elements).map(|_| (stream.unit() * 2.0 - 1.0) * bound).collect()
            }
            Distribution::Constant(value) => vec![value; elements],
        };
        view.shallow_clone().copy_(&Tensor::from_slice(&values).view(shape.as_slice()));
    }
    for (name, view) in network.running_statistics.named() {
        let _ = view.shallow_clone().fill_(if name.ends_with("running_var") { 1.0 } else { 0.0 });
    }
    let _ = network.num_batches_tracked.zero_();
}

/// Draws the classifier anew, from a stream that belongs to `epoch`, the first of a stage: uniform in
/// ±1/√features, as PyTorch's linear layers begin.
pub fn draw_classifier(network: &mut Network, seed: u64, epoch: u64) {
    let _guard = tch::no_grad_guard();
    let bound = 1.0 / (network.architecture().features() as f64).sqrt();
    for (position, (_, view)) in network.parameters.named().enumerate() {
        if !network.classifier_slots().contains(&position) {
            continue;
        }
        let place = (Role::RestartedClassifier as u64, position as u64);
        let mut stream = Stream::new(seed, Purpose::Weights, place.0, place.1, epoch);
        let values: Vec<f64> =
            (0..view.numel()).map(|_| (stream.unit() * 2.0 - 1.0) * bound).collect();
        view.shallow_clone().copy_(&Tensor::from_slice(&values).view(view.size().as_slice()));
    }
}

/// What the values of one tensor are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Distribution {
    /// Mean 0.
    Normal {
        deviation: f64,
    },
    /// In ±bound.
    Uniform {
        bound: f64,
    },
    Constant(f64),
}

/// The distribution of the parameter `name` of this shape: (to, from, rows, columns) of a convolution,
/// with the inputs of one group, and (classes, features) of the classifier.
fn distribution(
    initialisation: Initialisation,
    name: &str,
    shape: &[i64],
    features: f64,
) -> Distribution {
    if shape.len() < 2 {
        return match name {
            "fc.bias" => Distribution::Uniform { bound: 1.0 / features.sqrt() },
            _ if name.ends_with("weight") => Distribution::Constant(1.0),
            _ => Distribution::Constant(0.0),
        };
    }
    let fan_in = shape[1..].iter().product::<i64>() as f64;
    let fan_out = (shape[0] * shape[2..].iter().product::<i64>()) as f64;
    let is_classifier = shape.len() == 2;
    match initialisation {
        Initialisation::KaimingNormalFanIn => {
            Distribution::Normal { deviation: (2.0 / fan_in).sqrt() }
        }
        Initialisation::KaimingNormalFanOut if !is_classifier => {
            Distribution::Normal { deviation: (2.0 / fan_out).sqrt() }
        }
        // That of transformers has a function of its own.
        Initialisation::KaimingNormalFanOut
        | Initialisation::PytorchDefault
        | Initialisation::VisionTransformer => Distribution::Uniform { bound: 1.0 / fan_in.sqrt() },
    }
}

/// The distribution of the parameter `name` of a vision transformer, as torchvision draws it, whose truncation at a
/// hundred deviations is left out.
fn of_transformer(name: &str, shape: &[i64]) -> Distribution {
    let fan_in = shape.get(1..).unwrap_or_default().iter().product::<i64>() as f64;
    let glorot = || (6.0 / (fan_in + shape[0] as f64)).sqrt();
    if name == "encoder.pos_embedding" {
        Distribution::Normal { deviation: 0.02 }
    } else if name == "conv_proj.weight" {
        Distribution::Normal { deviation: fan_in.recip().sqrt() }
    } else if name.ends_with("in_proj_weight") || name.contains(".mlp.") && shape.len() == 2 {
        Distribution::Uniform { bound: glorot() }
    } else if name.contains(".mlp.") {
        Distribution::Normal { deviation: 1e-6 }
    } else if name.ends_with("out_proj.weight") {
        Distribution::Uniform { bound: fan_in.recip().sqrt() }
    } else if shape.len() == 1 && name.ends_with(".weight") {
        Distribution::Constant(1.0) // of a normalisation
    } else {
        Distribution::Constant(0.0)
    }
}

#[cfg(test)]
mod tests {
    use lcsl_config::{ModelName, Protocol};
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::network::{Architecture, VitForm, zoo};
    use crate::engine::run::digest;
    use crate::engine::step::teacher::Teacher;

    fn drawn(name: ModelName, protocol: Protocol, classes: i64, role: Role) -> Network {
        let architecture = zoo::architecture(name, classes, 224);
        let mut network = Network::zeros(&architecture, Kind::Float, Device::Cpu, false);
        initialise(&mut network, name.entry().initialisation(protocol), 0, role);
        network
    }

    /// The part of drawn images that an untrained teacher labels with a confidence of 0.5 or more.
    fn confident(name: ModelName, protocol: Protocol, classes: i64, size: i64) -> f64 {
        let teacher = Teacher::of(&drawn(name, protocol, classes, Role::FirstTeacher), true);
        let mut stream = Stream::new(1, Purpose::Augment, 0, 0, 0);
        let count = 16;
        let pixels: Vec<f32> =
            (0..count * size * size * 3).map(|_| stream.normal() as f32).collect();
        let images = Tensor::from_slice(&pixels).view([count, size, size, 3]);
        let confidence = teacher.label(&images, 1.0, None).confidence;
        confidence.ge(0.5).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    }

    /// Story: every network began with Kaiming-normal weights "as the published code initialises", which it
    /// does not: the untrained teacher of protocol `paper` was sure of itself and up to the whole of epoch 1
    /// was admitted under its labels, where the published one admits nobody.
    #[test]
    fn an_untrained_teacher_of_protocol_paper_is_sure_of_nothing() {
        for (name, classes, size) in [
            (ModelName::Resnet20, 10, 28),
            (ModelName::Resnet32, 10, 32),
            (ModelName::Resnet34Cifar, 10, 32),
            (ModelName::Resnet34Cifar, 100, 32),
            (ModelName::Resnet50, 8142, 64),
            (ModelName::Resnext50, 1000, 64),
        ] {
            let part = confident(name, Protocol::Paper, classes, size);
            assert!(part < 0.01, "{name} with {classes} classes: {part} of the images");
        }
        let honest = confident(ModelName::Resnet34Cifar, Protocol::Honest, 10, 32);
        assert!(honest > 0.5, "the other initialisation would pass this test, too: {honest}");
    }

    /// Every tensor has the deviation and the bounds of its source: `torch.nn`'s (±1/√fan-in) and
    /// torchvision's (variance 2/fan-out, of all output channels).
    #[test]
    fn first_weights_have_the_moments_of_their_source() {
        for (name, protocol) in [
            (ModelName::Resnet34Cifar, Protocol::Paper),
            (ModelName::Resnext50, Protocol::Paper),
            (ModelName::Resnext50, Protocol::Honest),
        ] {
            let network = drawn(name, protocol, 100, Role::Student);
            for (tensor, view) in network.parameters.named() {
                let shape = view.size();
                if shape.len() == 1 && tensor != "fc.bias" {
                    let expected = if tensor.ends_with("weight") { 1.0 } else { 0.0 };
                    assert!(view.eq(expected).all().int64_value(&[]) == 1, "{name} {tensor}");
                    continue;
                }
                let (to, from) = (shape[0] as f64, *shape.get(1).unwrap_or(&1) as f64);
                let pixels = if shape.len() == 4 { (shape[2] * shape[3]) as f64 } else { 1.0 };
                let features = network.architecture().features() as f64;
                let (deviation, largest) = match (name, protocol, tensor) {
                    (.., "fc.bias") => ((1.0 / features / 3.0).sqrt(), (1.0 / features).sqrt()),
                    (_, Protocol::Honest, _) => ((2.0 / from / pixels).sqrt(), f64::INFINITY),
                    (ModelName::Resnext50, _, conv) if conv != "fc.weight" => {
                        ((2.0 / to / pixels).sqrt(), f64::INFINITY)
                    }
                    _ => ((1.0 / from / pixels / 3.0).sqrt(), (1.0 / from / pixels).sqrt()),
                };
                let values = view.to_kind(Kind::Double);
                let moment = |values: &Tensor| values.mean(Kind::Double).double_value(&[]);
                let count = values.numel() as f64;
                let off = (moment(&values.square()).sqrt() / deviation - 1.0).abs();
                assert!(off < 4.0 / count.sqrt(), "{name} {tensor}: deviation off by {off}");
                let mean = moment(&values).abs() / deviation;
                assert!(mean < 5.0 / count.sqrt(), "{name} {tensor}: mean {mean} deviations");
                let most = values.abs().max().double_value(&[]);
                assert!(most <= largest * (1.0 + 1e-6), "{name} {tensor}: {most} over {largest}");
            }
        }
    }

    /// torchvision's, under either protocol: there is no batch normalisation that would make good for another scale.
    #[test]
    fn first_weights_of_a_vision_transformer_are_those_of_its_source() {
        let form = VitForm { image_size: 64, patch: 8, width: 96, depth: 1, heads: 2, hidden: 200 };
        let architecture = Architecture::vit(form, 10);
        let mut network = Network::zeros(&architecture, Kind::Double, Device::Cpu, false);
        let entry = ModelName::VitB16.entry();
        let [paper, honest] =
            [Protocol::Paper, Protocol::Honest].map(|protocol| entry.initialisation(protocol));
        assert_eq!(paper, honest);
        initialise(&mut network, paper, 0, Role::Student);
        let glorot = |from: f64, to: f64| (2.0 / (from + to)).sqrt();
        for (name, view) in network.parameters.named() {
            let last = name.rsplit("encoder_layer_0.").next().unwrap();
            let deviation = match last {
                "conv_proj.weight" => (1.0_f64 / (3.0 * 64.0)).sqrt(),
                "encoder.pos_embedding" => 0.02,
                "self_attention.in_proj_weight" => glorot(96.0, 288.0),
                "self_attention.out_proj.weight" => (1.0_f64 / 96.0 / 3.0).sqrt(),
                "mlp.0.weight" | "mlp.3.weight" => glorot(96.0, 200.0),
                "mlp.0.bias" | "mlp.3.bias" => 1e-6,
                _ => {
                    let is_scale = name.contains("ln") && name.ends_with("weight");
                    let expected = f64::from(u8::from(is_scale));
                    assert!(view.eq(expected).all().int64_value(&[]) == 1, "{name}");
                    continue;
                }
            };
            let found = view.square().mean(Kind::Double).sqrt().double_value(&[]);
            let off = (found / deviation - 1.0).abs();
            assert!(off < 4.0 / (view.numel() as f64).sqrt(), "{name}: deviation off by {off}");
        }
    }

    /// The numbers of protocol `honest` hang on its first weights, to the bit.
    #[test]
    fn first_weights_of_protocol_honest_stay_as_they_were() {
        let digest =
            |role| digest::weights(&drawn(ModelName::Resnet20, Protocol::Honest, 10, role));
        assert_eq!(
            digest(Role::Student),
            "bb18da95b23e5bbfb0ebb4f56913fc4d504ce0c6641ec00d128106f91039dc20"
        );
    }
}
