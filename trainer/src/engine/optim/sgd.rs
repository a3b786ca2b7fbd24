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

    /// Moves the parameters of `slots` by a gradient and a learning rate; see [`super::Optimiser::step`]. In one pass
    /// over memory: on the CPU, where nothing is skipped, in a loop of our own, else in libtorch's.
    pub fn step(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        (gradient, learning_rate): (&Tensor, f64),
        skip: Option<&Tensor>,
    ) {
        let _guard = tch::no_grad_guard();
        let part = |flat: &Tensor| parameters.part_of(flat, slots);
        let (mut moved, mut velocity) = (part(&parameters.buffer), part(&self.velocity));
        let (gradient, nesterov) = (part(gradient), self.nesterov);
        let numbers = [self.momentum, self.weight_decay, learning_rate];
        if skip.is_none() && gradient.device() == Device::Cpu {
            return sgd_step(&mut moved, &mut velocity, &gradient, numbers, nesterov);
        }
        let never = || Tensor::zeros([1], (Kind::Float, gradient.device()));
        let skip = skip.map_or_else(never, Tensor::shallow_clone);
        fused_sgd(&mut moved, &mut velocity, &gradient, numbers, nesterov, &skip);
    }
}
