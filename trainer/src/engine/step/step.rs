//! One optimiser step, every stage in order.
//!
//! [`global_step`] is the walk through the whole program; each stage's file is one call away.
//! Training, the golden tests and the benchmarks all call this one function.

use lcsl_collective::control::Phase;
use lcsl_collective::{CollectiveError, Communicator};
use lcsl_data::DataError;
use tch::{Kind, Tensor};
use thiserror::Error;

use crate::admission::candidate::{self, CandidateError};
use crate::admission::{self, Admitted, Candidate, Ledger, Rules};
use crate::clock::Clock;
use crate::engine::data::local_batch::{BatchSource, LogicalBatch, StepIndex};
use crate::engine::gradients::reducer::Reducer;
use crate::engine::native::normalisation::SyncBatchNorm;
use crate::engine::network::Network;
use crate::engine::optim::sgd::Sgd;
use crate::engine::step::forward_backward::{self, LossScale, Sums, Totals};
use crate::engine::step::teacher::{PseudoLabels, Teacher};

/// Everything that a rank holds while it trains.
pub struct StepContext {
    /// The ranks it trains with.
    pub world: Box<dyn Communicator>,
    /// How gradients are summed over logical batches and ranks.
    pub reducer: Reducer,
    /// The network that trains.
    pub student: Network,
    /// The network that labels; none before the first evaluation of protocol `honest`, and none in
    /// methods without self-labelling.
    pub teacher: Option<Teacher>,
    /// The optimiser.
    pub optimiser: Sgd,
    /// Who is admitted.
    pub rules: Rules,
    /// What admission remembers.
    pub ledger: Ledger,
    /// Weight of the admitted pseudo-labels in the loss.
    pub alpha: f64,
    /// Temperature of the teacher's softmax.
    pub temperature: f64,
    /// Whether the published code's extra forward pass is made.
    pub clean_forward: bool,
    /// Where the rank is, and where its time goes.
    pub clock: Clock,
}

/// What a step did, the same on all ranks but for `logical`.
#[derive(Debug)]
pub struct StepReport {
    /// Images of the step over all ranks, without those that were left out.
    pub images: u64,
    /// Images that were planned and left out, over all ranks: their records are corrupt.
    pub left_out: u64,
    /// Mixup loss.
    pub loss_mix: f64,
    /// Loss of the admitted pseudo-labels, without α.
    pub loss_self: f64,
    /// Who was admitted, by ascending key.
    pub admitted: Vec<Admitted>,
    /// Gradient summed over all logical batches (flat); the next step overwrites it.
    pub gradient: Tensor,
    /// Whether any rank was asked to stop after this step.
    pub stop: bool,
    /// What this rank's logical batches saw: micro-batches in order, logical ranks in order within.
    pub logical: Vec<LogicalReport>,
}

/// Pseudo-labels and logits of one logical batch.
#[derive(Debug)]
pub struct LogicalReport {
    /// The teacher's pseudo-labels, where there is a teacher.
    pub pseudo_labels: Option<PseudoLabels>,
    /// 1 for each admitted image, else 0 (N).
    pub mask: Tensor,
    /// The student's logits (N × classes).
    pub logits: Tensor,
}

impl StepContext {
    /// Leaves the world, with all communicators, when every rank has nothing more to say. Collective.
    pub fn leave(&mut self) -> Result<(), CollectiveError> {
        self.reducer.leave()?;
        self.student.sync_batch_norm().map_or(Ok(()), SyncBatchNorm::leave)?;
        self.world.leave()
    }
}

/// Why a step could not be made.
#[derive(Debug, Error)]
pub enum StepError {
    /// An image could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Ranks could not talk.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// Another rank sent nonsense.
    #[error(transparent)]
    Candidates(#[from] CandidateError),
    /// The loss is finite and its gradient is not: the next weights would be useless.
    #[error("the gradient is not finite, though the loss is ({loss})")]
    GradientNotFinite {
        /// Mixup loss and self-labelling loss (without α) together.
        loss: f64,
    },
    /// The loss is infinite or not a number.
    #[error("the loss is not finite (mixup {loss_mix}, self-labelling {loss_self})")]
    NotFinite {
        /// Mixup loss, summed over ranks.
        loss_mix: f64,
        /// Self-labelling loss, summed over ranks.
        loss_self: f64,
        /// Whether it arose on this rank.
        here: bool,
    },
}

/// Makes one optimiser step. Collective: all ranks call it with the same `index` and
/// `learning_rate`.
pub fn global_step(
    context: &mut StepContext,
    source: &mut dyn BatchSource,
    index: StepIndex,
    learning_rate: f64,
) -> Result<StepReport, StepError> {
    let micro_batches = source.micro_batches();
    let planned = (0..micro_batches).map(|micro| source.global_images(index, micro)).sum();
    let clean_forward = context.clean_forward;
    let scale = LossScale { alpha: context.alpha, images: planned, clean_forward };
    let mut report = StepReport::empty(&context.reducer);
    context.reducer.begin();

    for micro in 0..micro_batches {
        // shard → sampler → decode → augment → batch
        context.clock.enter(Phase::Data);
        let batches = source.batches(index, micro)?;

        // mixup → teacher
        context.clock.enter(Phase::Teacher);
        let mixed: Vec<Tensor> = batches.iter().map(LogicalBatch::mix).collect();
        let pseudo_labels = label(context.teacher.as_ref(), &mixed, context.temperature);

        // candidates → gather → admission
        let candidates = candidates(&context.rules, &batches, &pseudo_labels);
        context.clock.enter(Phase::Gather);
        let admitted = admit(context, &candidates, index, source.global_images(index, micro))?;

        // loss → backward → buckets, which leave in the last micro-batch while backward goes on
        context.clock.enter(Phase::Compute);
        let is_last = micro + 1 == micro_batches;
        let work = Work { batches: &batches, mixed: &mixed, admitted: &admitted, scale, is_last };
        let sums = teach_student(context, &work, pseudo_labels, &mut report);
        context.student.sync_batch_norm().map_or(Ok(()), SyncBatchNorm::outcome)?;

        // all-reduce; running statistics become the mean over the logical batches of all ranks
        context.clock.enter(Phase::AllReduce);
        let stop = context.clock.control().stop_requested();
        let (world, reducer) = (context.world.as_mut(), &mut context.reducer);
        let totals = sums.finish(stop, |tail| reducer.finish(world, tail, is_last))?;
        if let Some(statistics) = &totals.statistics {
            context.student.running_statistics.copy_from(&Tensor::from_slice(statistics));
            // All ranks count alike, also those whose logical batches were empty.
            context.student.num_batches_tracked += if context.clean_forward { 2 } else { 1 };
        }
        report.accumulate(&totals, admitted)?;
    }
    report.rescale(planned);
    report.check_gradient()?;

    // optimiser, unless no image came; metrics and checkpoints are the business of the training loop
    context.clock.enter(Phase::Optimiser);
    if report.images > 0 {
        context.optimiser.step(
            &mut context.student.parameters.buffer,
            &report.gradient,
            learning_rate,
        );
    }
    Ok(report)
}

/// The teacher's pseudo-labels on each logical batch; none without a teacher.
fn label(
    teacher: Option<&Teacher>,
    mixed: &[Tensor],
    temperature: f64,
) -> Vec<Option<PseudoLabels>> {
    mixed.iter().map(|mixed| teacher.map(|teacher| teacher.label(mixed, temperature))).collect()
}

/// The candidates of this rank's logical batches that pass the gate.
fn candidates(
    rules: &Rules,
    batches: &[LogicalBatch],
    pseudo_labels: &[Option<PseudoLabels>],
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (batch, pseudo_labels) in batches.iter().zip(pseudo_labels) {
        let Some(pseudo_labels) = pseudo_labels else { continue };
        let count = batch.images() as usize;
        let (mut labels, mut confidences) = (vec![0_i64; count], vec![0_f32; count]);
        pseudo_labels.label.copy_data(&mut labels, count);
        pseudo_labels.confidence.copy_data(&mut confidences, count);
        let rows = batch.keys.iter().zip(labels.into_iter().zip(confidences));
        let rows = rows.map(|(key, (label, confidence))| Candidate {
            key: *key,
            label: label as u32,
            confidence,
        });
        candidates.extend(rows.filter(|candidate| rules.passes_gate(candidate)));
    }
    candidates
}

/// Gathers the candidates of all ranks and decides on them, on every rank alike. Without a teacher
/// there is nothing to decide. `batch` is the size of the global batch as planned: an even share of it
/// does not shrink with an image that is left out.
fn admit(
    context: &mut StepContext,
    candidates: &[Candidate],
    index: StepIndex,
    batch: u64,
) -> Result<Vec<Admitted>, StepError> {
    if context.teacher.is_none() {
        return Ok(Vec::new());
    }
    let gathered = context.world.all_gather(&candidate::to_bytes(candidates))?;
    let everyone = candidate::from_ranks(&gathered)?;
    let index = admission::AdmissionStep { step: index.step, steps: index.steps, batch };
    Ok(context.rules.admit(&everyone, &mut context.ledger, index))
}

/// What the student works on in one micro-batch.
struct Work<'a> {
    batches: &'a [LogicalBatch],
    mixed: &'a [Tensor],
    admitted: &'a [Admitted],
    scale: LossScale,
    /// Whether it is the last micro-batch of the step.
    is_last: bool,
}

/// Forward and backward pass of every logical batch, each from the same running statistics, which stay as they
/// were: those of all logical batches come out of the sums.
fn teach_student(
    context: &mut StepContext,
    work: &Work<'_>,
    pseudo_labels: Vec<Option<PseudoLabels>>,
    report: &mut StepReport,
) -> Sums {
    // A rank that shares its batch statistics is waited for in every layer, also without images.
    let together = context.student.sync_batch_norm().is_some();
    let last = work.batches.iter().rposition(|batch| together || batch.images() > 0);
    let start = context.student.running_statistics.buffer.copy();
    let classes = context.student.architecture().classes;
    let mut sums = Sums::default();
    for (index, ((batch, mixed), pseudo_labels)) in
        work.batches.iter().zip(work.mixed).zip(pseudo_labels).enumerate()
    {
        let mask = mask(batch, work.admitted, mixed);
        let pseudo =
            pseudo_labels.as_ref().map_or(&batch.labels, |pseudo_labels| &pseudo_labels.label);
        let mut output = if batch.images() == 0 && !together {
            context.reducer.skip();
            forward_backward::LogicalOutput::empty(&context.student, classes)
        } else {
            context.student.running_statistics.copy_from(&start);
            let (student, reducer) = (&context.student, &mut context.reducer);
            let is_last = work.is_last && last == Some(index);
            let backward = |loss: &Tensor| reducer.backward(loss, student, is_last);
            forward_backward::forward_backward(
                student, batch, mixed, pseudo, &mask, work.scale, backward,
            )
        };
        let logits = std::mem::replace(&mut output.logits, Tensor::new());
        report.logical.push(LogicalReport { pseudo_labels, mask, logits });
        sums.push(output);
    }
    context.student.running_statistics.copy_from(&start);
    sums
}

/// 1 for each image of the logical batch that was admitted, else 0.
fn mask(batch: &LogicalBatch, admitted: &[Admitted], like: &Tensor) -> Tensor {
    let is_admitted = |key| admitted.binary_search_by_key(key, |one| one.key).is_ok();
    let mask = batch.keys.iter().map(|key| if is_admitted(key) { 1.0_f32 } else { 0.0 });
    let mask: Vec<f32> = mask.collect();
    Tensor::from_slice(&mask).to_kind(like.kind()).to_device(like.device())
}

impl StepReport {
    fn empty(reducer: &Reducer) -> Self {
        let gradient = reducer.gradient().shallow_clone();
        let (admitted, logical) = (Vec::new(), Vec::new());
        let (images, left_out) = (0, 0);
        let (loss_mix, loss_self, stop) = (0.0, 0.0, false);
        Self { images, left_out, loss_mix, loss_self, admitted, gradient, stop, logical }
    }

    /// The loss that was minimised.
    pub fn loss(&self, alpha: f64) -> f64 {
        self.loss_mix + alpha * self.loss_self
    }

    /// Makes losses and gradient, which were divided by the images that were `planned`, means over those
    /// that came. How many these are is known with the sums over ranks, and so without a message of its
    /// own; and a step from which nothing was left out stays what it is to the last bit.
    fn rescale(&mut self, planned: u64) {
        self.left_out = planned - self.images;
        if self.left_out > 0 && self.images > 0 {
            let factor = planned as f64 / self.images as f64;
            self.loss_mix *= factor;
            self.loss_self *= factor;
            let _ = self.gradient.g_mul_scalar_(factor);
        }
    }

    /// All ranks hold the same sum, so all of them refuse it or none.
    fn check_gradient(&self) -> Result<(), StepError> {
        if self.gradient.sum(Kind::Double).double_value(&[]).is_finite() {
            return Ok(());
        }
        Err(StepError::GradientNotFinite { loss: self.loss_mix + self.loss_self })
    }

    /// Adds a micro-batch.
    fn accumulate(&mut self, totals: &Totals, admitted: Vec<Admitted>) -> Result<(), StepError> {
        self.images += totals.images;
        self.loss_mix += totals.loss_mix;
        self.loss_self += totals.loss_self;
        self.stop |= totals.stop;
        let (loss_mix, loss_self) = (self.loss_mix, self.loss_self);
        if !(loss_mix + loss_self).is_finite() {
            return Err(StepError::NotFinite { loss_mix, loss_self, here: !totals.finite_here });
        }
        self.admitted.extend(admitted);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lcsl_config::Policy;

    use super::*;
    use crate::admission::AdmissionSettings;

    /// Story: keys were counted up from the first one, which would have moved every admission behind an
    /// image that was left out to its neighbour.
    #[test]
    fn candidates_and_admissions_keep_their_places_behind_an_image_that_was_left_out() {
        let settings = AdmissionSettings {
            policy: Policy::Reference,
            confidence: 0.5,
            quota_rate: None,
            burst_steps: 1,
            share: 1_000_000,
            crest_alpha: 0.0,
        };
        let rules = Rules::new(&[10, 1], settings);
        let batch = LogicalBatch {
            images: Tensor::zeros([3, 1, 1, 3], (Kind::Float, tch::Device::Cpu)),
            labels: Tensor::from_slice(&[0_i64, 0, 0]),
            permutation: Tensor::from_slice(&[0_i64, 1, 2]),
            lambda: 1.0,
            keys: vec![3, 5, 9],
        };
        let pseudo_labels = PseudoLabels {
            logits: Tensor::new(),
            label: Tensor::from_slice(&[1_i64, 0, 1]),
            confidence: Tensor::from_slice(&[0.9_f32, 0.9, 0.8]),
        };
        let batches = [batch];
        let found = candidates(&rules, &batches, &[Some(pseudo_labels)]);
        assert_eq!(found.iter().map(|one| one.key).collect::<Vec<_>>(), [3, 9]);
        let admitted = [4, 9, 10].map(|key| Admitted { key, label: 1 });
        let mask = mask(&batches[0], &admitted, &batches[0].images);
        assert_eq!(Vec::<f32>::try_from(mask).unwrap(), [0.0, 0.0, 1.0]);
    }
}
