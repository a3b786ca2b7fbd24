//! Initial weights.
//!
//! Drawn from the run's own streams, never from libtorch's generator, so that they depend on the
//! seed and on nothing else: each tensor has its own stream, whose place is the tensor's position
//! in the network.

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

/// Kaiming-normal convolutions and classifier (He et al., ICCV 2015; gain √2, fan-in), unit scales,
/// zero shifts, a classifier bias uniform in ±1/√features; running statistics as of a standard
/// normal input. As the published code initialises.
pub fn initialise(network: &mut Network, seed: u64, role: Role) {
    let _guard = tch::no_grad_guard();
    let features = network.architecture().features() as f64;
    for (position, (name, view)) in network.parameters.named().enumerate() {
        let mut stream = Stream::new(seed, Purpose::Weights, role as u64, position as u64, 0);
        let shape = view.size();
        let elements = view.numel();
        let values: Vec<f64> = if shape.len() > 1 {
            let fan_in: i64 = shape[1..].iter().product();
            let deviation = (2.0 / fan_in as f64).sqrt();
            (0..elements).map(|_| stream.normal() * deviation).collect()
        } else if name == "fc.bias" {
            let bound = 1.0 / features.sqrt();
            (0..elements).map(|_| (stream.unit() * 2.0 - 1.0) * bound).collect()
        } else {
            vec![if name.ends_with("weight") { 1.0 } else { 0.0 }; elements]
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
