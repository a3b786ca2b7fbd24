//! The end of a step: what its gradient does to the parameters.

use tch::Tensor;

use super::context::StepContext;
use super::error::StepError;
use super::pass::{MicroBatch, Passed, RunningStatistics, pass};
use super::report::StepReport;
use super::started::Verdict;
use crate::engine::optim::clip::clip_grad_norm;
use crate::engine::optim::sam;

/// Moves the parameters of a step that went well.
pub(super) fn optimise(context: &mut StepContext, report: &StepReport, learning_rate: f64) {
    if report.images == 0 {
        return;
    }
    let mut gradient = report.gradient.shallow_clone();
    if let Some(factor) = report.factor() {
        let _ = gradient.g_mul_scalar_(factor);
    }
    let trainable = context.student.trainable();
    let parameters = &mut context.student.parameters;
    clip_grad_norm(&mut parameters.part_of(&gradient, &trainable), context.clip_grad_norm);
    context.optimiser.step(parameters, &trainable, &gradient, learning_rate);
    if let Some(average) = &mut context.average {
        average.update(&context.student);
    }
}

/// The same where the device decides whether it went well.
pub(super) fn optimise_unless(context: &mut StepContext, verdict: &Verdict, learning_rate: f64) {
    let Verdict { factor, skip } = verdict;
    let mut gradient = context.reducer.gradient().shallow_clone();
    let _ = gradient.g_mul_(&factor.to_kind(gradient.kind()));
    let trainable = context.student.trainable();
    let parameters = &mut context.student.parameters;
    clip_grad_norm(&mut parameters.part_of(&gradient, &trainable), context.clip_grad_norm);
    context.optimiser.step_unless(parameters, &trainable, (&gradient, learning_rate), skip);
    if let Some(average) = &mut context.average {
        average.update_unless(&context.student, skip);
    }
}

/// The second pass of sharpness-aware minimisation, where that is wanted: it leaves the gradient at the place that the
/// first one points to, and the weights where they were. Losses, wishes and running statistics are those of the first
/// pass.
pub(super) fn climb_and_look_again(
    context: &mut StepContext,
    micro_batches: &[MicroBatch],
    planned: u64,
    sent: &mut Vec<Tensor>,
) -> Result<Option<Passed>, StepError> {
    if context.sam_rho == 0.0 {
        return Ok(None);
    }
    let slots = context.student.trainable();
    let (gradient, rho) = (context.reducer.gradient().shallow_clone(), context.sam_rho);
    let before = sam::climb(&mut context.student.parameters, &slots, &gradient, rho);
    let second = pass(context, micro_batches, planned, RunningStatistics::Keep, sent);
    sam::descend(&mut context.student.parameters, &slots, &before);
    second.map(Some)
}

#[cfg(test)]
mod tests {
    use lcsl_collective::control::Control;
    use lcsl_collective::solo::Solo;
    use lcsl_config::{Machine, parse_train};
    use tch::Kind;

    use super::*;
    use crate::data_module;
    use crate::engine::data::local_batch::{BatchSource as _, LogicalBatch, StepIndex};
    use crate::engine::run::build;
    use crate::engine::step::step::global_step;
    use crate::objective::Objective;

    /// The step of sharpness-aware minimisation beside its parts, one after the other (Foret et al., algorithm 1): the
    /// gradient at the place that the first one points to moves the weights from where they were, and one of the two
    /// passes moves the running statistics.
    #[test]
    fn a_sharpness_aware_step_takes_the_gradient_from_up_the_slope() {
        let flags = ["--dataset=synthetic", "--method=mixup", "--batch_size=8", "--image_size=16"];
        let made = |rho: f64| {
            let machine = Machine { cores: 1, gpus: None };
            let flags: Vec<_> =
                flags.iter().map(Into::into).chain([format!("--sam_rho={rho}").into()]).collect();
            let config = parse_train(&flags, &machine).unwrap().config;
            let data_module = data_module::open(&config).unwrap();
            let objective = Objective::of(&config, &data_module.train_counts).unwrap();
            let cpu = tch::Device::Cpu;
            let source = build::batches(&config, &objective, &data_module, &Solo, cpu);
            let (world, control) = (Box::new(Solo), Control::absent());
            let context =
                build::context(&config, &objective, &data_module, world, control, cpu).unwrap();
            (context, source)
        };
        let index = StepIndex { epoch: 0, step: 0, steps: 9 };
        let state = |context: &StepContext| {
            let (statistics, batches) = context.student.copy_running_statistics();
            (context.student.parameters.buffer.copy(), statistics, batches)
        };
        let [sharp, plain] = [0.1, 0.0].map(|rho| {
            let (mut context, mut source) = made(rho);
            let report = global_step(&mut context, &mut source, index, 0.1).unwrap();
            (state(&context), report.loss_mix.to_bits())
        });
        assert_eq!((&sharp.0.1, &sharp.0.2, sharp.1), (&plain.0.1, &plain.0.2, plain.1));
        assert_ne!(sharp.0.0, plain.0.0);

        let (mut context, mut source) = made(0.0);
        let batches = source.batches(index, 0).unwrap();
        let micro_batches = [MicroBatch {
            mixed: batches.iter().map(LogicalBatch::mix).collect(),
            pseudo_labels: vec![None],
            masks: batches
                .iter()
                .map(|batch| batch.labels.zeros_like().to_kind(Kind::Float))
                .collect(),
            unlabelled: vec![None],
            agreeing: 0,
            batches,
        }];
        let gradient_at_hand = |context: &mut StepContext, running| {
            pass(context, &micro_batches, 8, running, &mut Vec::new()).unwrap();
            context.reducer.gradient().copy()
        };
        let first = gradient_at_hand(&mut context, RunningStatistics::Move);
        let mut weights = context.student.parameters.buffer.shallow_clone();
        let before = weights.copy();
        let length = f64::try_from(first.norm()).unwrap();
        let _ = tch::no_grad(|| weights.g_add_(&(first * (0.1 / length))));
        let second = gradient_at_hand(&mut context, RunningStatistics::Keep);
        tch::no_grad(|| weights.copy_(&before));
        let slots = context.student.trainable();
        let parameters = &mut context.student.parameters;
        context.optimiser.step(parameters, &slots, &second, 0.1);
        let by_hand = state(&context);
        assert!(by_hand.0.allclose(&sharp.0.0, 1e-5, 1e-7, false));
        assert_eq!((by_hand.1, by_hand.2), (sharp.0.1, sharp.0.2));
    }
}
