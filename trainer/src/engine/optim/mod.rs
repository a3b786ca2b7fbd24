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
pub struct Optimiser {
    rule: UpdateRule,
    /// Neighbouring slots with a learning rate of their own; none where all have the same.
    layers: Vec<LayerRate>,
}

/// What a gradient does to a parameter.
#[derive(Debug)]
enum UpdateRule {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
}

/// The learning rate of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerRate {
    /// Its parameters, neighbours in the flat buffer.
    pub slots: Range<usize>,
    /// Its learning rate, as a part of that of the step.
    pub factor: f64,
}

impl From<Sgd> for Optimiser {
    fn from(sgd: Sgd) -> Self {
        Self { rule: UpdateRule::Sgd(sgd), layers: Vec::new() }
    }
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
    /// The one that is configured, for parameters like these (flat), at rest. `layers` have learning rates of their
    /// own; they are in order and cover all parameters, or there are none.
    pub fn of(train: &Train, parameters: &Tensor, layers: Vec<LayerRate>) -> Self {
        let Train { momentum, nesterov, weight_decay, .. } = *train;
        let rule = match train.optimizer {
            config::Optimizer::Sgd => {
                let mut sgd = Sgd::new(parameters, momentum, weight_decay);
                sgd.nesterov = nesterov;
                UpdateRule::Sgd(sgd)
            }
            config::Optimizer::AdamW => {
                let betas = [train.adam_beta1, train.adam_beta2];
                let (epsilon, decay) = (train.adam_epsilon, weight_decay);
                UpdateRule::AdamW(AdamW::new(parameters, betas, epsilon, decay))
            }
        };
        Self { rule, layers }
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
        self.step_layers(parameters, slots, (gradient, learning_rate), None);
    }

    /// The same where the device decides: nothing moves where `skip` (one float32, beside the parameters) is 1.
    pub fn step_unless(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        (gradient, learning_rate): (&Tensor, f64),
        skip: &Tensor,
    ) {
        // A CPU has nothing to wait for.
        let decides = skip.device() != Device::Cpu;
        if decides || host::read(skip) == [0.0] {
            let skip = decides.then_some(skip);
            self.step_layers(parameters, slots, (gradient, learning_rate), skip);
        }
    }

    fn step_layers(
        &mut self,
        parameters: &mut Flat,
        slots: &Range<usize>,
        (gradient, learning_rate): (&Tensor, f64),
        skip: Option<&Tensor>,
    ) {
        let layers = self.layers_of(slots);
        if let UpdateRule::AdamW(adamw) = &mut self.rule {
            adamw.count(skip);
        }
        for LayerRate { slots, factor } in layers {
            let by = (gradient, learning_rate * factor);
            match &mut self.rule {
                UpdateRule::Sgd(sgd) => sgd.step(parameters, &slots, by, skip),
                UpdateRule::AdamW(adamw) => adamw.step(parameters, &slots, by, skip),
            }
        }
    }

    /// The layers that have some of these slots, cut to them.
    fn layers_of(&self, slots: &Range<usize>) -> Vec<LayerRate> {
        if self.layers.is_empty() {
            return vec![LayerRate { slots: slots.clone(), factor: 1.0 }];
        }
        let cut = self.layers.iter().map(|LayerRate { slots: own, factor }| LayerRate {
            slots: own.start.max(slots.start)..own.end.min(slots.end),
            factor: *factor,
        });
        cut.filter(|layer| !layer.slots.is_empty()).collect()
    }

    /// What it remembers; the tensors share memory with it.
    pub fn moments(&self) -> Moments<'_> {
        match &self.rule {
            UpdateRule::Sgd(sgd) => {
                Moments { flat: vec![("momentum", &sgd.velocity)], steps: None }
            }
            UpdateRule::AdamW(AdamW { exp_avg, exp_avg_sq, steps, .. }) => Moments {
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
                [&ours, &theirs].map(|flat| Optimiser::of(&config.train, &flat.buffer, Vec::new()));
            for step in 0..10 {
                let gradient = wave(f64::from(step));
                own.step(&mut ours, &slots, &gradient, 0.1);
                for skip in [decide(1.0), decide(0.0)] {
                    let gradient = if host::read(&skip) == [0.0] {
                        gradient.copy()
                    } else {
                        &gradient * f64::NAN
                    };
                    fused.step_layers(&mut theirs, &slots, (&gradient, 0.1), Some(&skip));
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
    /// Each layer as if an optimiser of its own had it, also where a part of them trains.
    #[test]
    fn layers_have_learning_rates_of_their_own() {
        let layer = |slots, factor| LayerRate { slots, factor };
        for flags in ["--momentum=0.9", "--optimizer=adamw"] {
            let config = parse_train(&[flags.into()], &Machine { cores: 1, gpus: None }).unwrap();
            let train = &config.config.train;
            let start = Tensor::arange(200, (Kind::Float, Device::Cpu)).sin();
            let (mut together, mut apart) = (flat(&start), [flat(&start), flat(&start)]);
            let of = |flat: &Flat, layers| Optimiser::of(train, &flat.buffer, layers);
            let mut layered = of(&together, vec![layer(0..1, 0.5), layer(1..2, 1.0)]);
            let mut plain = [of(&apart[0], Vec::new()), of(&apart[1], Vec::new())];
            for step in 0..5 {
                let gradient = (&start + f64::from(step)).cos();
                layered.step(&mut together, &(0..2), &gradient, 0.1);
                plain[0].step(&mut apart[0], &(0..1), &gradient, 0.05);
                plain[1].step(&mut apart[1], &(1..2), &gradient, 0.1);
            }
            for (half, flat) in [(0, &apart[0]), (100, &apart[1])] {
                let of = |flat: &Flat| flat.buffer.narrow(0, half, 100);
                assert_eq!(of(&together), of(flat), "{flags}");
            }
            assert_eq!(
                layered.moments().steps.map(host::read),
                plain[0].moments().steps.map(host::read)
            );
            assert_eq!(layered.layers_of(&(1..2)), [layer(1..2, 1.0)]);
        }
    }
}
