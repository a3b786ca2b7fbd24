//! The named networks have the sizes that the literature gives them.

use lcsl_config::ModelName;
use lcsl_trainer::engine::network::{Architecture, Network};
use tch::{Device, Kind};

fn parameters(name: ModelName, classes: i64) -> usize {
    let architecture = Architecture::named(name, classes);
    Network::zeros(&architecture, Kind::Float, Device::Cpu, false).parameters.buffer.numel()
}

/// He et al., CVPR 2016, table 6: 0.27 and 0.46 million; the CIFAR ResNet-34 has 21.3 million.
#[test]
fn parameter_counts_are_those_of_the_literature() {
    assert_eq!(parameters(ModelName::Resnet20, 10), 269_722);
    assert_eq!(parameters(ModelName::Resnet32, 10), 464_154);
    assert_eq!(parameters(ModelName::Resnet34Cifar, 10), 21_282_122);
    assert_eq!(parameters(ModelName::Resnet34Cifar, 100), 21_328_292);
}
