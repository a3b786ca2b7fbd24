//! Adam with decoupled weight decay.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::engine::host;
use crate::engine::native::optim::{AdamMoments, fused_adamw};
use crate::engine::network::flat::Flat;

/// Adam whose weight decay is no part of the gradient (Loshchilov and Hutter, "Decoupled Weight Decay Regularization",
/// ICLR 2019, algorithm 2; as `torch.optim.AdamW` has it), over flat buffers: w ← w − lr·wd·w, m ← β₁·m + (1 − β₁)·g,
/// v ← β₂·v + (1 − β₂)·g², w ← w − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε), from m = v = 0. Weight decay covers all
/// parameters.
#[derive(Debug)]
pub struct AdamW {
    /// m, one element per parameter.
    pub exp_avg: Tensor,
    /// v, one element per parameter.
    pub exp_avg_sq: Tensor,
    /// t, one i64: the steps made since it began.
    pub steps: Tensor,
    betas: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
}

impl AdamW {
    /// A resting optimiser for parameters like these (flat).
    pub fn new(parameters: &Tensor, betas: [f64; 2], epsilon: f64, weight_decay: f64) -> Self {
        Self {
            exp_avg: parameters.zeros_like(),
            exp_avg_sq: parameters.zeros_like(),
            steps: Tensor::zeros([1], (Kind::Int64, parameters.device())),
            betas,
            epsilon,
            weight_decay,
        }
    }

    /// Begins a further step, which has parts; `skip` (one float32) is 1 where the device decides that there is none.
    pub fn count(&mut self, skip: Option<&Tensor>) {
        let one = |skip: &Tensor| skip.to_kind(Kind::Int64).neg() + 1;
        let one = skip.map_or_else(|| self.steps.ones_like(), one);
        let _ = self.steps.g_add_(&one);
    }

    /// A part of the step that [`AdamW::count`] has begun: moves the parameters of `slots` by a gradient and a learning
    /// rate; see [`super::Optimiser::step`].
    pub fn step(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        (gradient, learning_rate): (&Tensor, f64),
        skip: Option<&Tensor>,
    ) {
        let _guard = tch::no_grad_guard();
        let part = |flat: &Tensor| parameters.part_of(flat, slots);
        let (mut moved, gradient) = (part(&parameters.buffer), part(gradient));
        let (mut mean, mut square) = (part(&self.exp_avg), part(&self.exp_avg_sq));
        let [beta1, beta2] = self.betas;
        if let Some(skip) = skip {
            let step = self.steps.to_kind(Kind::Float).clamp_min(1.0); // 0 where the first one is skipped
            let numbers = [learning_rate, beta1, beta2, self.weight_decay, self.epsilon];
            let moments = AdamMoments { mean: &mut mean, square: &mut square };
            return fused_adamw(&mut moved, moments, &gradient, &step, numbers, skip);
        }
        let steps = host::read(&self.steps)[0] as i32;
        let _ = moved.g_mul_scalar_(1.0 - learning_rate * self.weight_decay);
        let _ = mean.lerp_(&gradient, 1.0 - beta1);
        let _ = square.g_mul_scalar_(beta2).g_add_(&(&gradient * &gradient * (1.0 - beta2)));
        let root = (square / (1.0 - beta2.powi(steps))).sqrt_() + self.epsilon;
        let rate = learning_rate / (1.0 - beta1.powi(steps));
        let _ = moved.g_sub_(&(mean * rate / root));
    }
}
