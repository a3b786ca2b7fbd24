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
use tch::{Device, Tensor};

use self::adamw::AdamW;
use self::sgd::Sgd;
use crate::engine::host;
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

    /// The same where the device decides: nothing moves where `skip` (one float32, beside the parameters) is 1.
    pub fn step_unless(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        gradient: &Tensor,
        learning_rate: f64,
        skip: &Tensor,
    ) {
        match self {
            // A CPU has nothing to wait for.
            _ if skip.device() == Device::Cpu => {
                if host::read(skip) == [0.0] {
                    self.step(parameters, slots, gradient, learning_rate);
                }
            }
            Self::Sgd(sgd) => sgd.step_unless(parameters, slots, gradient, learning_rate, skip),
            Self::AdamW(adamw) => {
                adamw.step_unless(parameters, slots, gradient, learning_rate, skip);
            }
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

#[cfg(test)]
mod tests {
    use lcsl_config::{Machine, parse_train};
    use tch::Kind;

    use super::*;
    use crate::engine::network::flat::Slot;

    fn flat(values: &Tensor) -> Flat {
        let slot = |name: &str| Slot { name: name.to_owned(), shape: vec![20, 5] };
        let mut flat = Flat::zeros(vec![slot("a"), slot("b")], Kind::Float, Device::Cpu, false);
        flat.copy_from(values);
        flat
    }

    /// The kernels that GPUs have, on the CPU, beside our own: the same steps, and none where the device says so.
    #[test]
    fn libtorchs_own_kernels_make_the_same_steps_and_skip() {
        let wave = |shift: f64| (Tensor::arange(200, (Kind::Float, Device::Cpu)) + shift).sin();
        let decide = |skip: f32| Tensor::from_slice(&[skip]);
        let slots = 1..2; // what does not train stays
        for flags in ["--momentum=0.9", "--momentum=0.9 --nesterov=true", "--optimizer=adamw"] {
            let flags: Vec<_> =
                flags.split(' ').chain(["--weight_decay=0.01"]).map(Into::into).collect();
            let config = parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config;
            let (mut ours, mut theirs) = (flat(&wave(0.5)), flat(&wave(0.5)));
            let [mut own, mut fused] =
                [&ours, &theirs].map(|flat| Optimiser::of(&config.train, &flat.buffer));
            for step in 0..10 {
                let gradient = wave(f64::from(step));
                own.step(&mut ours, &slots, &gradient, 0.1);
                for skip in [decide(1.0), decide(0.0)] {
                    let gradient = if host::read(&skip) == [0.0] {
                        gradient.copy()
                    } else {
                        &gradient * f64::NAN
                    };
                    match &mut fused {
                        Optimiser::Sgd(sgd) => {
                            sgd.step_unless(&mut theirs, &slots, &gradient, 0.1, &skip);
                        }
                        Optimiser::AdamW(adamw) => {
                            adamw.step_unless(&mut theirs, &slots, &gradient, 0.1, &skip);
                        }
                    }
                }
            }
            assert!(ours.buffer.allclose(&theirs.buffer, 1e-5, 1e-6, false), "{flags:?}");
            assert_eq!(theirs.buffer.narrow(0, 0, 100), wave(0.5).narrow(0, 0, 100));
            let (own, fused) = (own.moments(), fused.moments());
            for ((name, own), (_, fused)) in own.flat.iter().zip(&fused.flat) {
                assert!(own.allclose(fused, 1e-5, 1e-6, false), "{name}");
            }
            assert_eq!(own.steps.map(host::read), fused.steps.map(host::read));
        }
    }
}
