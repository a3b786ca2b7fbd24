//! A step that was handed to the device, and what it came to.
//!
//! A GPU works on it while the host prepares the next one; whether it went well is read one step later, before any
//! checkpoint, evaluation or teacher holds what came of it ([`StepContext::reads_late`]). On a CPU it is read at once.

use lcsl_collective::control::Phase;
use tch::{Kind, Tensor};

use super::context::StepContext;
use super::error::StepError;
use super::pass::Passed;
use super::report::{LogicalReport, StepReport};
use super::sums::MicroBatchReport;
use crate::admission::Admitted;
use crate::engine::host::Coming;

/// What was decided before a step was handed over.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Images of the step as planned.
    pub(super) planned: u64,
    pub(super) admitted: Vec<Admitted>,
    pub(super) passing: Vec<u64>,
}

/// A step that was handed over.
pub struct StartedStep {
    packed: Packed,
    coming: Coming,
    decided: Decided,
    gradient: Tensor,
    logical: Vec<LogicalReport>,
    summed: usize,
    /// What the host has sent to the device for it.
    _sent: Vec<Tensor>,
}

/// The packed numbers of all passes of a step, each of as many micro-batches.
#[derive(Debug)]
struct Packed {
    numbers: Tensor,
    micro_batches: usize,
}

/// What the device itself decides about a step, where the host does not wait for what it came to.
#[derive(Debug)]
pub struct Verdict {
    /// By what the gradient is multiplied (one float64): more than 1 where images were skipped.
    pub factor: Tensor,
    /// 1 where nothing may move, else 0 (one float32): no image came, or something is not finite.
    pub skip: Tensor,
}

/// Numbers of a pass of so many micro-batches: theirs, and the sum of the gradient's elements.
fn numbers_of_pass(micro_batches: usize) -> usize {
    micro_batches * MicroBatchReport::COUNT + 1
}

impl Packed {
    fn of(passes: &[Passed], micro_batches: usize) -> Self {
        let numbers: Vec<&Tensor> = passes.iter().map(|passed| &passed.packed).collect();
        Self { numbers: Tensor::cat(&numbers, 0), micro_batches }
    }

    /// As the host decides with what [`StartedStep::finish`] tells it.
    fn verdict(&self, planned: u64) -> Verdict {
        let columns = numbers_of_pass(self.micro_batches) as i64;
        let passes = self.numbers.view([-1, columns]);
        let reports = passes.narrow(1, 0, columns - 1);
        let reports = reports.reshape([-1, MicroBatchReport::COUNT as i64]);
        let of_first = reports.narrow(0, 0, self.micro_batches as i64);
        let images = of_first.select(1, MicroBatchReport::IMAGES as i64).sum(Kind::Double);
        let wrong = reports.select(1, MicroBatchReport::ANY_WRONG as i64).sum(Kind::Double);
        let wrong = self.numbers.isfinite().all().logical_not().logical_or(&wrong.gt(0.0));
        let none = images.le(0.0);
        let factor = images.clamp_min(1.0).reciprocal() * planned as f64;
        let factor = factor.where_self(&none.logical_not(), &factor.ones_like());
        Verdict { factor, skip: none.logical_or(&wrong).to_kind(Kind::Float) }
    }
}

impl StartedStep {
    /// Of passes (at least one) over so many micro-batches.
    pub(super) fn of(
        mut passes: Vec<Passed>,
        micro_batches: usize,
        decided: Decided,
        gradient: Tensor,
        sent: Vec<Tensor>,
    ) -> Self {
        let packed = Packed::of(&passes, micro_batches);
        let coming = Coming::of(&packed.numbers);
        let Passed { logical, summed, .. } = passes.swap_remove(0);
        Self { packed, coming, decided, gradient, logical, summed, _sent: sent }
    }

    /// What the device decides about it.
    pub(super) fn verdict(&self) -> Verdict {
        self.packed.verdict(self.decided.planned)
    }

    /// Waits until the device is done with it; what it came to. Collective where a GPU sums over ranks.
    ///
    /// # Errors
    /// What was not finite; what sums over ranks report.
    pub fn finish(self, context: &mut StepContext) -> Result<StepReport, StepError> {
        let Self { packed, coming, decided, gradient, logical, summed, .. } = self;
        // The watchdog must not take a rank for busy that waits for the sums of others.
        let waits_for_others = context.world.world_size() > 1;
        context.clock.enter(if waits_for_others { Phase::AllReduce } else { Phase::Compute });
        context.reducer.wait_for(summed, || coming.is_there())?;
        let numbers = coming.take();
        let Decided { planned, admitted, passing } = decided;
        let mut report = StepReport::empty(gradient);
        for (number, pass) in numbers.chunks(numbers_of_pass(packed.micro_batches)).enumerate() {
            let (micro_batches, gradient) = pass.split_at(pass.len() - 1);
            let mut losses = 0.0;
            for numbers in micro_batches.as_chunks().0 {
                let micro_batch = MicroBatchReport::unpacked(numbers);
                micro_batch.check_losses()?;
                if let Some(place) = micro_batch.wrong_statistic {
                    let name = context.student.running_statistics.name_at(place).to_owned();
                    return Err(StepError::StatisticsNotFinite {
                        name,
                        images: micro_batch.images,
                    });
                }
                losses += micro_batch.loss_mix + micro_batch.loss_self;
                if number == 0 {
                    report.add(&micro_batch);
                }
            }
            if !gradient[0].is_finite() {
                return Err(StepError::GradientNotFinite { loss: losses });
            }
        }
        (report.admitted, report.passing, report.logical) = (admitted, passing, logical);
        report.rescale(planned);
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::host;

    /// Numbers of two micro-batches of a pass with 3 and 1 images, as they would be packed.
    fn packed(change: impl Fn(&mut [f64])) -> Packed {
        let micro_batch =
            |images: f64| [0.5, 0.0, 2.0, 2.0, images, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 1.0];
        let mut numbers: Vec<f64> = [micro_batch(3.0), micro_batch(1.0)].concat();
        numbers.push(1.5);
        change(&mut numbers);
        let second = numbers.clone(); // as sharpness-aware minimisation looks twice
        Packed { numbers: Tensor::from_slice(&[numbers, second].concat()), micro_batches: 2 }
    }

    fn verdict(change: impl Fn(&mut [f64]), planned: u64) -> (f64, bool) {
        let Verdict { factor, skip } = packed(change).verdict(planned);
        (host::read(&factor)[0], host::read(&skip)[0] > 0.0)
    }

    #[test]
    fn the_device_decides_as_the_host_would() {
        assert_eq!(verdict(|_| (), 4), (1.0, false));
        assert_eq!(verdict(|_| (), 6), (1.5, false));
        assert_eq!(verdict(|numbers| (numbers[4], numbers[16]) = (0.0, 0.0), 4), (1.0, true));
        assert!(verdict(|numbers| numbers[0] = f64::NAN, 4).1);
        assert!(verdict(|numbers| numbers[21] = 1.0, 4).1, "a running statistic");
        assert!(verdict(|numbers| numbers[24] = f64::INFINITY, 4).1, "the gradient");
    }
}
