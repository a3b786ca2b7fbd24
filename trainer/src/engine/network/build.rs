//! Networks as a configuration describes them.

use lcsl_config::{Head, Precision, RunConfig};
use tch::{Device, Kind};

use super::weights::{self, Role};
use super::{HeadForm, Network, zoo};

/// The network of a configuration, with the initial weights of its protocol.
pub fn initial_network(config: &RunConfig, classes: usize, device: Device, role: Role) -> Network {
    let head = match config.model.head {
        Head::Linear => HeadForm::Linear,
        Head::Cosine => HeadForm::Cosine { scale: config.model.cosine_scale },
    };
    let image_size = config.data.image_size as i64;
    let architecture = zoo::architecture(config.model.name, classes as i64, image_size);
    let architecture = architecture.with_head(head);
    let trains = role == Role::Student;
    let mut network = Network::zeros(&architecture, Kind::Float, device, trains);
    if config.train.precision == Precision::Bf16 {
        network.compute_in(Kind::BFloat16);
    }
    let initialisation = config.model.name.entry().initialisation(config.train.protocol);
    weights::initialise(&mut network, initialisation, config.run.seed, role);
    network
}
