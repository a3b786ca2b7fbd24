//! A pass: forward and backward over all logical batches of a step, and the sums over ranks.

use lcsl_collective::control::Phase;
use tch::{Kind, Tensor};

use super::context::StepContext;
use super::error::StepError;
use super::forward_backward::{AdmittedImages, LabelledBatch, LogicalOutput, forward_backward};
use super::report::LogicalReport;
use super::sums::{SumsOfRank, Wishes};
use super::teacher::PseudoLabels;
use crate::engine::data::local_batch::LogicalBatch;
use crate::engine::native::normalisation::SyncBatchNorm;
use crate::engine::network::Network;

/// A rank's logical batches of one micro-batch, mixed, labelled and decided on. The lists have an entry
/// for each.
pub struct MicroBatch {
    /// What was drawn.
    pub batches: Vec<LogicalBatch>,
    /// The mixed images.
    pub mixed: Vec<Tensor>,
    /// What the teacher says of them; none without a teacher.
    pub pseudo_labels: Vec<Option<PseudoLabels>>,
    /// Who was admitted.
    pub masks: Vec<Tensor>,
    /// Which unlabelled images were.
    pub unlabelled: Vec<Option<AdmittedImages>>,
    /// Mixed images of this rank that were admitted under one of their two classes.
    pub agreeing: u64,
}

/// What a pass leaves of batch normalisation's running statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunningStatistics {
    /// They move to the mean over the logical batches of all ranks.
    Move,
    /// They stay: a pass of the same step has moved them.
    Keep,
}

/// What a pass came to, on the device.
pub struct Passed {
    /// Of each micro-batch, [`StepTotals::packed`]; and the sum of the gradient's elements, which is finite where all
    /// of them are.
    pub packed: Tensor,
    /// How many numbers were summed over ranks with the last micro-batch.
    pub summed: usize,
    /// What this rank's logical batches saw: micro-batches in order, logical ranks in order within.
    pub logical: Vec<LogicalReport>,
}

/// Makes a pass over the micro-batches of a step of `images` planned images. The gradient lies in the
/// reducer afterwards. An optimiser may ask for several passes after one admission, of which one moves
/// the running statistics. What the host sends to the device is kept in `sent`. Collective.
///
/// # Errors
/// When ranks cannot talk.
pub fn pass(
    context: &mut StepContext,
    micro_batches: &[MicroBatch],
    images: u64,
    running: RunningStatistics,
    sent: &mut Vec<Tensor>,
) -> Result<Passed, StepError> {
    let (mut packed, mut logical, mut summed) = (Vec::new(), Vec::new(), 0);
    let keeps = running == RunningStatistics::Keep;
    let before = keeps.then(|| context.student.copy_running_statistics());
    context.reducer.begin();
    for (number, micro_batch) in micro_batches.iter().enumerate() {
        // loss → backward → buckets, which leave in the last micro-batch while backward goes on
        context.clock.enter(Phase::Compute);
        let is_last = number + 1 == micro_batches.len();
        let sums = forward_backward_all(context, micro_batch, images, is_last, &mut logical);
        context.student.sync_batch_norm().map_or(Ok(()), SyncBatchNorm::outcome)?;

        // all-reduce; running statistics become the mean over the logical batches of all ranks
        context.clock.enter(Phase::AllReduce);
        let stop = context.clock.control().stop_requested();
        let wishes = Wishes { stop, save: context.wants_checkpoint };
        let (world, reducer) = (context.world.as_mut(), &mut context.reducer);
        let sum = |list: &mut Tensor| reducer.finish(world, list, is_last);
        let totals = sums.finish(wishes, micro_batch.agreeing, sent, sum)?;
        let statistics = totals.running_statistics(&context.student.running_statistics.buffer);
        packed.push(totals.packed(&statistics));
        summed = totals.summed();
        if !context.task.keeps_statistics() {
            context.student.running_statistics.copy_from(&statistics);
            // All ranks count alike, also those whose logical batches were empty.
            let batches = if context.task.clean_forward { 2 } else { 1 };
            context.student.count_batches(&(totals.any().to_kind(Kind::Int64) * batches));
        }
    }
    if let Some(before) = before {
        context.student.restore_running_statistics(&before);
    }
    if context.task.row_lengths {
        keep_directions(&context.student, context.reducer.gradient());
    }
    packed.push(context.reducer.gradient().sum(Kind::Double).view([1]));
    Ok(Passed { packed: Tensor::cat(&packed, 0), summed, logical })
}

/// Leaves of the gradient (flat) of each row of the classifier's weight the part along that row.
fn keep_directions(student: &Network, gradient: &Tensor) {
    let _guard = tch::no_grad_guard();
    let (slots, rows) = (student.trainable(), student.classifier_weight());
    let mut gradient = student.parameters.part_of(gradient, &slots).view_as(rows);
    let of_rows = |product: Tensor| product.sum_dim_intlist(1_i64, true, None);
    let along =
        of_rows(&gradient * rows) / of_rows(rows * rows).clamp_min(f64::from(f32::MIN_POSITIVE));
    gradient.copy_(&(rows * along));
}

/// Forward and backward pass of every logical batch, each from the same running statistics, which stay
/// as they were: those of all come out of the sums.
fn forward_backward_all(
    context: &mut StepContext,
    micro_batch: &MicroBatch,
    images: u64,
    is_last: bool,
    reports: &mut Vec<LogicalReport>,
) -> SumsOfRank {
    // A rank that shares its batch statistics is waited for in every layer, also without images.
    let together = context.student.sync_batch_norm().is_some() && !context.task.keeps_statistics();
    let last = micro_batch.batches.iter().rposition(|batch| together || batch.images() > 0);
    let start = context.student.running_statistics.buffer.copy();
    let mut sums = SumsOfRank::default();
    for (index, batch) in micro_batch.batches.iter().enumerate() {
        let (mixed, mask) = (&micro_batch.mixed[index], &micro_batch.masks[index]);
        let labels = &micro_batch.pseudo_labels[index];
        let output = if batch.images() == 0 && !together {
            context.reducer.skip();
            LogicalOutput::empty(&context.student)
        } else {
            context.student.running_statistics.copy_from(&start);
            let pseudo = labels.as_ref().map(|labels| &labels.label);
            let unlabelled = micro_batch.unlabelled[index].as_ref();
            let labelled = LabelledBatch { batch, mixed, pseudo, mask, unlabelled };
            let (student, reducer) = (&context.student, &mut context.reducer);
            let announces = is_last && last == Some(index);
            let backward = |loss: &Tensor| reducer.backward(loss, student, announces);
            forward_backward(student, &labelled, &context.task, images, backward)
        };
        sums.push(output.sums);
        let pseudo_labels = labels.as_ref().map(PseudoLabels::shallow_clone);
        let (mask, logits) = (mask.shallow_clone(), output.logits);
        reports.push(LogicalReport { pseudo_labels, mask, logits });
    }
    context.student.running_statistics.copy_from(&start);
    sums
}

#[cfg(test)]
mod tests {
    use lcsl_collective::control::Control;
    use lcsl_collective::solo::Solo;
    use lcsl_config::{Machine, parse_train};
    use tch::Device;

    use super::*;
    use crate::data_module;
    use crate::engine::data::local_batch::{BatchSource, StepIndex};
    use crate::engine::run::build;
    use crate::objective::Objective;

    /// A step as an optimiser that looks twice makes it (SAM: Foret et al., ICLR 2021): the second pass
    /// finds the same gradient at the same weights, and batch normalisation has seen one batch.
    #[test]
    fn a_second_pass_moves_no_running_statistics() {
        let flags =
            ["--dataset=synthetic", "--method=mixup", "--batch_size=8", "--virtual_ranks=2"];
        let machine = Machine { cores: 1, gpus: None };
        let config = parse_train(&flags.map(Into::into), &machine).unwrap().config;
        let data_module = data_module::open(&config).unwrap();
        let objective = Objective::of(&config, &data_module.train_counts).unwrap();
        let cpu = Device::Cpu;
        let mut source = build::batches(&config, &objective, &data_module, &Solo, cpu);
        let (world, control) = (Box::new(Solo), Control::absent());
        let mut context =
            build::context(&config, &objective, &data_module, world, control, cpu).unwrap();

        let batches = source.batches(StepIndex { epoch: 0, step: 0, steps: 9 }, 0).unwrap();
        let mixed = batches.iter().map(LogicalBatch::mix).collect();
        let masks = batches.iter().map(|batch| batch.images.zeros_like().select(3, 0));
        let masks = masks.map(|it| it.select(2, 0).select(1, 0)).collect();
        let pseudo_labels = batches.iter().map(|_| None).collect();
        let unlabelled = batches.iter().map(|_| None).collect();
        let agreeing = 0;
        let micro_batches =
            [MicroBatch { batches, mixed, pseudo_labels, masks, unlabelled, agreeing }];

        let mut made = |running| {
            let passed = pass(&mut context, &micro_batches, 8, running, &mut Vec::new()).unwrap();
            let gradient = context.reducer.gradient().copy();
            (passed.packed, gradient, context.student.copy_running_statistics())
        };
        let first = made(RunningStatistics::Move);
        let second = made(RunningStatistics::Keep);
        assert_eq!(first, second);
        assert_eq!(first.2.1.int64_value(&[]), 1);
    }
}
