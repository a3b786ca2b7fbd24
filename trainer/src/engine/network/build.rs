//! Networks as a configuration describes them.

use lcsl_config::RunConfig;
use tch::{Device, Kind};

use super::weights::{self, Role};
use super::{Architecture, Network};

/// The network of a configuration, with its initial weights.
pub fn initial_network(config: &RunConfig, classes: usize, device: Device, role: Role) -> Network {
    let architecture = Architecture::named(config.model.name, classes as i64);
    let trains = role == Role::Student;
    let mut network = Network::zeros(&architecture, Kind::Float, device, trains);
    weights::initialise(&mut network, config.run.seed, role);
    network
}
