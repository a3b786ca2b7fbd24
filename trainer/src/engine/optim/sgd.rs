//! The optimiser.

use std::ops::Range;

use tch::{Device, Tensor};

use crate::engine::native::gradients::sgd_step;
use crate::engine::network::flat::Flat;

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

    /// Moves the parameters of `slots`, neighbours in the flat buffer, in place; what else `parameters`
    /// holds stays, and so does its velocity. `gradient` is laid out as the parameters. On the CPU in one
    /// pass over memory.
    pub fn step(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        gradient: &Tensor,
        learning_rate: f64,
    ) {
        let _guard = tch::no_grad_guard();
        let part = |flat: &Tensor| parameters.part_of(flat, slots);
        let (mut moved, gradient) = (part(&parameters.buffer), part(gradient));
        let mut velocity = part(&self.velocity);
        if moved.device() == Device::Cpu {
            let numbers = [self.momentum, self.weight_decay, learning_rate];
            return sgd_step(&mut moved, &mut velocity, &gradient, numbers);
        }
        let direction = gradient + &moved * self.weight_decay;
        let _ = velocity.g_mul_scalar_(self.momentum).g_add_(&direction);
        let _ = moved.g_sub_(&(velocity * learning_rate));
    }
}
