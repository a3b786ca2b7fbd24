//! One optimiser step, every stage in order.
//!
//! [`start_step`] is the walk through the whole program; each stage's file is one call away.
//! Training, the golden tests and the benchmarks all call this one function.

use lcsl_collective::control::Phase;
use tch::Tensor;

use super::candidates::{
    admit, admitted_images, admitted_in_agreement, candidates, label, mask, what_is_said,
};
use super::context::StepContext;
use super::error::StepError;
use super::optimise::{climb_and_look_again, optimise, optimise_unless};
use super::pass::{MicroBatch, RunningStatistics, pass};
use super::report::StepReport;
use super::started::{Decided, StartedStep};
use crate::engine::data::local_batch::{BatchSource, LogicalBatch, StepIndex};

/// Makes one optimiser step, and waits for what it came to. Collective: all ranks call it with the same `index` and
/// `learning_rate`.
///
/// # Errors
/// See [`StepError`]; the parameters have not moved then.
pub fn global_step(
    context: &mut StepContext,
    source: &mut dyn BatchSource,
    index: StepIndex,
    learning_rate: f64,
) -> Result<StepReport, StepError> {
    match start_step(context, source, index, learning_rate)? {
        Started::Done(report) => Ok(*report),
        Started::UnderWay(step) => step.finish(context),
    }
}

/// A step that was begun.
pub enum Started {
    /// And is over.
    Done(Box<StepReport>),
    /// And which the device works on: what it came to is read later, at the latest before anybody else sees what came
    /// of it.
    UnderWay(Box<StartedStep>),
}

/// Begins one optimiser step, which is over where the context does not read late. Collective: all ranks call it with
/// the same `index` and `learning_rate`.
///
/// # Errors
/// See [`StepError`]; the parameters have not moved then.
pub fn start_step(
    context: &mut StepContext,
    source: &mut dyn BatchSource,
    index: StepIndex,
    learning_rate: f64,
) -> Result<Started, StepError> {
    let (mut micro_batches, mut decided, mut sent) = (Vec::new(), Decided::default(), Vec::new());
    for micro in 0..source.micro_batches() {
        // shard → sampler → decode → augment → batch
        context.clock.enter(Phase::Data);
        let batches = source.batches(index, micro)?;
        decided.planned += source.global_images(index, micro);

        // mixup → teacher
        context.clock.enter(Phase::Teacher);
        let mixed: Vec<Tensor> = batches.iter().map(LogicalBatch::mix).collect();
        let labels = label(context, &batches, &mixed);

        // candidates → gather → admission
        context.clock.enter(Phase::Gather);
        let said = what_is_said(&batches, &labels);
        let agreement = context.task.pseudo_labels.is_some_and(|labelling| labelling.agreement);
        let candidates = candidates(&context.rules, &batches, &said, agreement);
        let admitted = admit(context, &candidates, source, index, micro, &mut decided.passing)?;
        let agreeing = admitted_in_agreement(&batches, &said, &admitted);
        let masks = batches.iter().map(|batch| mask(batch, &admitted, &mut sent)).collect();
        let unlabelled = batches.iter().map(|batch| admitted_images(batch, &admitted, &mut sent));
        let unlabelled = unlabelled.collect();
        let pseudo_labels = labels.into_iter().map(|labels| labels.mixed).collect();
        let batch = MicroBatch { batches, mixed, pseudo_labels, masks, unlabelled, agreeing };
        micro_batches.push(batch);
        decided.admitted.extend(admitted);
    }
    decided.admitted.sort_unstable(); // unlabelled images of one micro-batch come behind the mixed ones of all

    // loss → backward → buckets → all-reduce
    let planned = decided.planned;
    let first = pass(context, &micro_batches, planned, RunningStatistics::Move, &mut sent)?;
    let second = climb_and_look_again(context, &micro_batches, planned, &mut sent)?;
    let passes = [first].into_iter().chain(second).collect();
    let gradient = context.reducer.gradient().shallow_clone();
    let step = StartedStep::of(passes, micro_batches.len(), decided, gradient, sent);

    // optimiser, unless no image came; metrics and checkpoints are the business of the training loop
    if context.reads_late {
        context.clock.enter(Phase::Optimiser);
        optimise_unless(context, &step.verdict(), learning_rate);
        return Ok(Started::UnderWay(Box::new(step)));
    }
    let report = step.finish(context)?;
    context.clock.enter(Phase::Optimiser);
    optimise(context, &report, learning_rate);
    Ok(Started::Done(Box::new(report)))
}
