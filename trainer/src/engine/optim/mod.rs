//! Optimisers: what a gradient does to the parameters.
//!
//! Each works on flat buffers, of which the parameters that train are a part.

pub mod adamw;
pub mod average;
pub mod clip;
pub mod sam;
pub mod sgd;

use std::ops::Range;

use lcsl_config::{self as config, Train};
use tch::Tensor;

use self::adamw::AdamW;
use self::sgd::Sgd;
use crate::engine::network::flat::Flat;

/// The optimiser of a run.
#[derive(Debug)]
pub enum Optimiser {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
}

/// What an optimiser remembers of earlier steps, as a checkpoint holds it.
#[derive(Debug, Default)]
pub struct Moments<'a> {
    /// Flat tensors laid out as the parameters, with their names.
    pub flat: Vec<(&'static str, &'a Tensor)>,
    /// How many steps were made, one i64, where that matters.
    pub steps: Option<&'a Tensor>,
}

impl Optimiser {
    /// The one that is configured, for parameters like these (flat), at rest.
    pub fn of(train: &Train, parameters: &Tensor) -> Self {
        let Train { momentum, nesterov, weight_decay, .. } = *train;
        match train.optimizer {
            config::Optimizer::Sgd => {
                let mut sgd = Sgd::new(parameters, momentum, weight_decay);
                sgd.nesterov = nesterov;
                Self::Sgd(sgd)
            }
            config::Optimizer::AdamW => {
                let betas = [train.adam_beta1, train.adam_beta2];
                Self::AdamW(AdamW::new(parameters, betas, train.adam_epsilon, weight_decay))
            }
        }
    }

    /// Moves the parameters of `slots`, neighbours in the flat buffer, in place; what else `parameters`
    /// holds stays, and so does what is remembered of it. `gradient` is laid out as the parameters.
    pub fn step(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        gradient: &Tensor,
        learning_rate: f64,
    ) {
        match self {
            Self::Sgd(sgd) => sgd.step(parameters, slots, gradient, learning_rate),
            Self::AdamW(adamw) => adamw.step(parameters, slots, gradient, learning_rate),
        }
    }

    /// What it remembers; the tensors share memory with it.
    pub fn moments(&self) -> Moments<'_> {
        match self {
            Self::Sgd(sgd) => Moments { flat: vec![("momentum", &sgd.velocity)], steps: None },
            Self::AdamW(AdamW { exp_avg, exp_avg_sq, steps, .. }) => Moments {
                flat: vec![("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)],
                steps: Some(steps),
            },
        }
    }

    /// Begins anew.
    pub fn forget_all(&mut self) {
        let _guard = tch::no_grad_guard();
        let Moments { flat, steps } = self.moments();
        for tensor in flat.into_iter().map(|(_, moment)| moment).chain(steps) {
            let _ = tensor.shallow_clone().zero_();
        }
    }
}
