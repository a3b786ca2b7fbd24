//! The optimiser.

use tch::{Device, Tensor};

use crate::engine::native::gradients::sgd_step;

/// Stochastic gradient descent with momentum and weight decay, over flat buffers: v ← μ·v + (g +
/// wd·w), w ← w − lr·v, starting from v = 0. Weight decay covers batch-norm parameters and biases
/// too, as published.
#[derive(Debug)]
pub struct Sgd {
    /// v, one element per parameter.
    pub velocity: Tensor,
    momentum: f64,
    weight_decay: f64,
}

impl Sgd {
    /// A resting optimiser for parameters like these (flat).
    pub fn new(parameters: &Tensor, momentum: f64, weight_decay: f64) -> Self {
        Self { velocity: parameters.zeros_like(), momentum, weight_decay }
    }

    /// Moves `parameters` (flat) in place. On the CPU in one pass over memory.
    pub fn step(&mut self, parameters: &mut Tensor, gradient: &Tensor, learning_rate: f64) {
        let _guard = tch::no_grad_guard();
        if parameters.device() == Device::Cpu {
            let numbers = [self.momentum, self.weight_decay, learning_rate];
            return sgd_step(parameters, &mut self.velocity, gradient, numbers);
        }
        let direction = gradient + &*parameters * self.weight_decay;
        let _ = self.velocity.g_mul_scalar_(self.momentum).g_add_(&direction);
        let _ = parameters.g_sub_(&(&self.velocity * learning_rate));
    }
}
