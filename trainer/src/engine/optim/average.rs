//! An exponential moving average of the weights (Polyak and Juditsky, 1992; as `torch.optim.swa_utils.AveragedModel`
//! with `get_ema_multi_avg_fn` keeps it).

use tch::{Kind, Tensor};

use crate::engine::network::Network;

/// The moving average of a network that trains.
///
/// After each step p̄ ← d·p̄ + (1 − d)·p for every parameter, and the running statistics of batch normalisation are
/// those of the network; the first step makes it a copy.
#[derive(Debug)]
pub struct WeightAverage {
    network: Network,
    decay: f64,
    is_new: bool,
}

impl WeightAverage {
    /// Of a network before its first step; `decay` is d, in [0, 1).
    pub fn of(student: &Network, decay: f64) -> Self {
        Self { network: student.frozen_copy(), decay, is_new: true }
    }

    /// The network with the averaged weights.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The next step makes it a copy again.
    pub fn begin_anew(&mut self) {
        self.is_new = true;
    }

    /// It was taken from a checkpoint, so that the next step moves it.
    pub fn go_on(&mut self) {
        self.is_new = false;
    }

    /// Takes in the weights after a step.
    pub fn update(&mut self, student: &Network) {
        let weight = 1.0 - self.decay;
        self.move_towards(student, |averaged, weights| averaged.lerp_(weights, weight));
    }

    /// The same where the device decides: nothing moves where `skip` (one float32, beside the parameters) is 1. The
    /// first step is taken in even then, when it has left the network as it was.
    pub fn update_unless(&mut self, student: &Network, skip: &Tensor) {
        let weight = (skip.to_kind(Kind::Double).neg() + 1.0) * (1.0 - self.decay);
        let weight = weight.to_kind(student.parameters.buffer.kind());
        self.move_towards(student, |averaged, weights| averaged.lerp_tensor_(weights, &weight));
    }

    fn move_towards(
        &mut self,
        student: &Network,
        step: impl FnOnce(&mut Tensor, &Tensor) -> Tensor,
    ) {
        if std::mem::take(&mut self.is_new) {
            self.network.copy_from(student);
            return;
        }
        let mut averaged = self.network.parameters.buffer.shallow_clone();
        let weights = student.parameters.buffer.detach();
        let _: Tensor = tch::no_grad(|| step(&mut averaged, &weights));
        self.network.restore_running_statistics(&student.copy_running_statistics());
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::engine::network::{Architecture, Shortcut};

    #[test]
    fn the_first_step_is_copied_and_statistics_are_never_averaged() {
        let architecture = Architecture::cifar(1, 4, Shortcut::Pad, 2);
        let mut student = Network::zeros(&architecture, Kind::Double, Device::Cpu, true);
        let set = |student: &mut Network, value: f64| {
            student.parameters.copy_from(&student.parameters.buffer.full_like(value));
            student
                .running_statistics
                .copy_from(&student.running_statistics.buffer.full_like(value));
            student.count_batches(&Tensor::from(1_i64));
        };
        let mut average = WeightAverage::of(&student, 0.75);
        let seen = |average: &WeightAverage| {
            let network = average.network();
            let at = |tensor: &Tensor| tensor.view([-1]).double_value(&[3]);
            (at(&network.parameters.buffer), at(&network.running_statistics.buffer))
        };
        set(&mut student, 1.0);
        average.update(&student);
        assert_eq!(seen(&average), (1.0, 1.0));
        set(&mut student, 2.0);
        average.update(&student);
        assert_eq!(seen(&average), (1.25, 2.0));
        assert_eq!(average.network().num_batches_tracked.int64_value(&[]), 2);
        average.begin_anew();
        average.update(&student);
        assert_eq!(seen(&average), (2.0, 2.0));
        let mut restored = WeightAverage::of(average.network(), 0.75);
        restored.go_on();
        set(&mut student, 4.0);
        restored.update(&student);
        assert_eq!(seen(&restored), (2.5, 4.0));
    }
}
