//! Stochastic gradient descent.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::engine::native::optim::{fused_sgd, sgd_step};
use crate::engine::network::flat::Flat;

/// Stochastic gradient descent with momentum and weight decay, over flat buffers: v ← μ·v + (g +
/// wd·w), w ← w − lr·v, starting from v = 0. In Nesterov's form (as `torch.optim.SGD` has it) w ← w − lr·(g + wd·w +
/// μ·v) with the new v. Weight decay covers batch-norm parameters and biases too, as published.
#[derive(Debug)]
pub struct Sgd {
    /// v, one element per parameter.
    pub velocity: Tensor,
    /// Whether it looks ahead by its momentum.
    pub nesterov: bool,
    momentum: f64,
    weight_decay: f64,
}

impl Sgd {
    /// A resting optimiser for parameters like these (flat).
    pub fn new(parameters: &Tensor, momentum: f64, weight_decay: f64) -> Self {
        Self { velocity: parameters.zeros_like(), nesterov: false, momentum, weight_decay }
    }

    /// See [`super::Optimiser::step`]. On the CPU in one pass over memory.
    pub fn step(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        gradient: &Tensor,
        learning_rate: f64,
    ) {
        let device = gradient.device();
        if device != Device::Cpu {
            let skip = Tensor::zeros([1], (Kind::Float, device));
            return self.step_unless(parameters, slots, gradient, learning_rate, &skip);
        }
        let _guard = tch::no_grad_guard();
        let part = |flat: &Tensor| parameters.part_of(flat, slots);
        let (mut moved, mut velocity) = (part(&parameters.buffer), part(&self.velocity));
        let numbers = [self.momentum, self.weight_decay, learning_rate];
        sgd_step(&mut moved, &mut velocity, &part(gradient), numbers, self.nesterov);
    }

    /// See [`super::Optimiser::step_unless`]. In one kernel.
    pub fn step_unless(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        gradient: &Tensor,
        learning_rate: f64,
        skip: &Tensor,
    ) {
        let _guard = tch::no_grad_guard();
        let part = |flat: &Tensor| parameters.part_of(flat, slots);
        let (mut moved, mut velocity) = (part(&parameters.buffer), part(&self.velocity));
        let numbers = [self.momentum, self.weight_decay, learning_rate];
        fused_sgd(&mut moved, &mut velocity, &part(gradient), numbers, self.nesterov, skip);
    }
}
