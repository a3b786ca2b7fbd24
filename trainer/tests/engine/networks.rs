//! The named networks have the sizes that the literature gives them.

use lcsl_config::ModelName;
use std::collections::HashMap;

use lcsl_trainer::engine::network::{
    Architecture, BlockForm, Folded, Mode, Network, ResidualForm, Shortcut, Stem, VitForm, zoo,
};
use tch::{Device, Kind, Tensor};

use crate::device::device;

fn parameters(name: ModelName, classes: i64) -> usize {
    let architecture = zoo::architecture(name, classes, 224);
    Network::zeros(&architecture, Kind::Float, Device::Cpu, false).parameters.buffer.numel()
}

/// He et al., CVPR 2016, table 6: 0.27 and 0.46 million; the CIFAR ResNet-34 has 21.3 million; those for
/// photographs are torchvision's counts.
#[test]
fn parameter_counts_are_those_of_the_literature() {
    assert_eq!(parameters(ModelName::Resnet20, 10), 269_722);
    assert_eq!(parameters(ModelName::Resnet32, 10), 464_154);
    assert_eq!(parameters(ModelName::Resnet34Cifar, 10), 21_282_122);
    assert_eq!(parameters(ModelName::Resnet34Cifar, 100), 21_328_292);
    assert_eq!(parameters(ModelName::Resnet50, 1000), 25_557_032);
    assert_eq!(parameters(ModelName::Resnext50, 1000), 25_028_904);
    assert_eq!(parameters(ModelName::Resnet18, 1000), 11_689_512);
    assert_eq!(parameters(ModelName::Resnet34, 1000), 21_797_672);
    assert_eq!(parameters(ModelName::Resnet101, 1000), 44_549_160);
    assert_eq!(parameters(ModelName::Resnet152, 1000), 60_192_808);
    assert_eq!(parameters(ModelName::Resnext101, 1000), 88_791_336);
    assert_eq!(parameters(ModelName::VitB16, 1000), 86_567_656);
}

/// A small vision transformer, forward and backward, beside PyTorch's (`pytorch/make_vit.py`).
#[test]
fn a_vision_transformer_computes_what_pytorch_computes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pytorch/vit.safetensors");
    let stored = Tensor::read_safetensors(path).expect("the file is there").into_iter();
    let file: HashMap<String, Tensor> =
        stored.map(|(name, tensor)| (name, tensor.to_device(device()))).collect();
    let form = VitForm { image_size: 16, patch: 8, width: 12, depth: 2, heads: 3, hidden: 20 };
    let mut network = Network::zeros(&Architecture::vit(form, 3), Kind::Double, device(), true);
    let state = |name: &str| file.get(&format!("state.{name}")).map(Tensor::shallow_clone);
    network.load(state).expect("the names are torchvision's");
    let names = file.keys().filter_map(|name| name.strip_prefix("state."));
    let own: Vec<String> = network.state().into_iter().map(|(name, _)| name).collect();
    assert!(
        names.clone().count() == own.len()
            && names.clone().all(|it| own.iter().any(|own| own == it))
    );

    let logits = network.forward(&file["images"], Mode::Train);
    near("logits", &logits, &file["logits"]);
    let labels = Tensor::from_slice(&[0_i64, 2]).to_device(device());
    logits.log_softmax(-1, Kind::Double).nll_loss(&labels).backward();
    for (name, parameter) in network.parameters.named() {
        near(name, &parameter.grad(), &file[&format!("gradient.{name}")]);
    }
    let folded = Folded::of(&network);
    let _ = tch::no_grad(|| network.parameters.buffer.zero_()); // the network moves on
    network.load(state).unwrap();
    let features = folded.features(&file["images"]);
    let logits = tch::no_grad(|| network.classify(&features, network.classifier()));
    near("logits of the copy that only answers", &logits, &file["logits"]);
    let none = folded.features(&file["images"].narrow(0, 0, 0));
    assert_eq!(none.size(), [0, 12], "a batch without images");
}

fn near(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let off = (found - expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]).max(1e-3);
    assert!(off <= 1e-11 * scale, "{what}: {off} of {scale}");
}

/// Stem, bottlenecks in groups and shortcuts of the networks for photographs, forward and backward, beside
/// PyTorch's (`pytorch/make_photographs.py`).
#[test]
fn a_network_for_photographs_computes_what_pytorch_computes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pytorch/photographs.safetensors");
    let stored = Tensor::read_safetensors(path).expect("the file is there").into_iter();
    let file: HashMap<String, Tensor> =
        stored.map(|(name, tensor)| (name, tensor.to_device(device()))).collect();
    let form = ResidualForm {
        stem: Stem::Photograph,
        form: BlockForm::Bottleneck { groups: 2, group_width: 32 },
        widths: vec![8, 16],
        blocks: vec![2, 1],
        shortcut: Shortcut::DOWNSAMPLE,
    };
    let architecture = Architecture::residual(form, 3);
    let mut network = Network::zeros(&architecture, Kind::Double, device(), true);
    let state = |name: &str| file.get(&format!("state.{name}")).map(Tensor::shallow_clone);
    network.load(state).expect("the names are torchvision's");
    // What a step adds to the count lies where the network does.
    network.count_batches(&Tensor::from(1_i64).to_device(device()));
    assert_eq!(network.num_batches_tracked.device(), device());
    let logits = network.forward(&file["images"], Mode::Train);
    near("logits of training", &logits, &file["trained"]);
    let labels = Tensor::from_slice(&[0_i64, 2]).to_device(device());
    logits.log_softmax(-1, Kind::Double).nll_loss(&labels).backward(); // tch's own is in float32
    for (name, parameter) in network.parameters.named() {
        near(name, &parameter.grad(), &file[&format!("gradient.{name}")]);
    }
    for (name, statistic) in network.running_statistics.named() {
        near(name, statistic, &file[&format!("moved.{name}")]);
    }
    let evaluated = tch::no_grad(|| network.forward(&file["images"], Mode::Evaluate));
    near("logits of evaluation", &evaluated, &file["evaluated"]);
    let features = Folded::of(&network).features(&file["images"]);
    let folded = tch::no_grad(|| network.classify(&features, network.classifier()));
    near("logits of the folded network", &folded, &file["evaluated"]);
}
