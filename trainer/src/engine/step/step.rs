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
use crate::engine::data::local_batch::{Feed, Moment, Part};
use crate::engine::gradients::reducer::Reduction;
use crate::engine::native::normalisation::Across;
use crate::engine::network::Network;
use crate::engine::optim::sgd::Sgd;
use crate::engine::step::forward_backward::{self, LossScale, Sums, Totals};
use crate::engine::step::teacher::{Opinion, Teacher};

/// Everything that a rank holds while it trains.
pub struct Rank {
    /// The ranks it trains with.
    pub world: Box<dyn Communicator>,
    /// How gradients are summed over parts and ranks.
    pub reduction: Reduction,
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

/// What a step did, the same on all ranks but for `parts`.
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
    /// Gradient summed over all parts (flat); the next step overwrites it.
    pub gradient: Tensor,
    /// Whether any rank was asked to stop after this step.
    pub stop: bool,
    /// What this rank's parts saw: micro-batches in order, logical ranks in order within.
    pub parts: Vec<PartReport>,
}

/// Opinions and logits of one part.
#[derive(Debug)]
pub struct PartReport {
    /// The teacher's opinion, where there is a teacher.
    pub opinion: Option<Opinion>,
    /// 1 for each admitted image, else 0 (N).
    pub mask: Tensor,
    /// The student's logits (N × classes).
    pub logits: Tensor,
}

impl Rank {
    /// Leaves the world, with all communicators, when every rank has nothing more to say. Collective.
    pub fn leave(&mut self) -> Result<(), CollectiveError> {
        self.reduction.leave()?;
        self.student.across().map_or(Ok(()), Across::leave)?;
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

/// Makes one optimiser step. Collective: all ranks call it with the same `moment` and
/// `learning_rate`.
pub fn global_step(
    rank: &mut Rank,
    feed: &mut dyn Feed,
    moment: Moment,
    learning_rate: f64,
) -> Result<StepReport, StepError> {
    let micro_batches = feed.micro_batches();
    let planned = (0..micro_batches).map(|micro| feed.global_images(moment, micro)).sum();
    let clean_forward = rank.clean_forward;
    let scale = LossScale { alpha: rank.alpha, images: planned, clean_forward };
    let mut report = StepReport::empty(&rank.reduction);
    rank.reduction.begin();

    for micro in 0..micro_batches {
        // shard → sampler → decode → augment → batch
        rank.clock.enter(Phase::Data);
        let parts = feed.parts(moment, micro)?;

        // mixup → teacher
        rank.clock.enter(Phase::Teacher);
        let mixed: Vec<Tensor> = parts.iter().map(Part::mix).collect();
        let opinions = label(rank.teacher.as_ref(), &mixed, rank.temperature);

        // candidates → gather → admission
        let candidates = candidates(&rank.rules, &parts, &opinions);
        rank.clock.enter(Phase::Gather);
        let admitted = admit(rank, &candidates, moment, feed.global_images(moment, micro))?;

        // loss → backward → buckets, which leave in the last micro-batch while backward goes on
        rank.clock.enter(Phase::Compute);
        let is_last = micro + 1 == micro_batches;
        let work = Work { parts: &parts, mixed: &mixed, admitted: &admitted, scale, is_last };
        let sums = teach_student(rank, &work, opinions, &mut report);
        rank.student.across().map_or(Ok(()), Across::outcome)?;

        // all-reduce; running statistics become the mean over the parts of all ranks
        rank.clock.enter(Phase::AllReduce);
        let stop = rank.clock.control().stop_requested();
        let (world, reduction) = (rank.world.as_mut(), &mut rank.reduction);
        let totals = sums.finish(stop, |tail| reduction.finish(world, tail, is_last))?;
        if let Some(statistics) = &totals.statistics {
            rank.student.statistics.copy_from(&Tensor::from_slice(statistics));
            // All ranks count alike, also those whose parts were empty.
            rank.student.passes += if rank.clean_forward { 2 } else { 1 };
        }
        report.take(&totals, admitted)?;
    }
    report.settle(planned);
    report.check_gradient()?;

    // optimiser, unless no image came; metrics and checkpoints are the business of the training loop
    rank.clock.enter(Phase::Optimiser);
    if report.images > 0 {
        rank.optimiser.step(&mut rank.student.parameters.buffer, &report.gradient, learning_rate);
    }
    Ok(report)
}

/// The teacher's opinion on each part; none without a teacher.
fn label(teacher: Option<&Teacher>, mixed: &[Tensor], temperature: f64) -> Vec<Option<Opinion>> {
    mixed.iter().map(|mixed| teacher.map(|teacher| teacher.label(mixed, temperature))).collect()
}

/// The candidates of this rank's parts that pass the gate.
fn candidates(rules: &Rules, parts: &[Part], opinions: &[Option<Opinion>]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (part, opinion) in parts.iter().zip(opinions) {
        let Some(opinion) = opinion else { continue };
        let count = part.images() as usize;
        let (mut labels, mut confidences) = (vec![0_i64; count], vec![0_f32; count]);
        opinion.label.copy_data(&mut labels, count);
        opinion.confidence.copy_data(&mut confidences, count);
        let rows = part.keys.iter().zip(labels.into_iter().zip(confidences));
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
    rank: &mut Rank,
    candidates: &[Candidate],
    moment: Moment,
    batch: u64,
) -> Result<Vec<Admitted>, StepError> {
    if rank.teacher.is_none() {
        return Ok(Vec::new());
    }
    let gathered = rank.world.all_gather(&candidate::to_bytes(candidates))?;
    let everyone = candidate::from_ranks(&gathered)?;
    let moment = admission::Moment { step: moment.step, steps: moment.steps, batch };
    Ok(rank.rules.admit(&everyone, &mut rank.ledger, moment))
}

/// What the student works on in one micro-batch.
struct Work<'a> {
    parts: &'a [Part],
    mixed: &'a [Tensor],
    admitted: &'a [Admitted],
    scale: LossScale,
    /// Whether it is the last micro-batch of the step.
    is_last: bool,
}

/// Forward and backward pass of every part, each from the same running statistics, which stay as they
/// were: those of all parts come out of the sums.
fn teach_student(
    rank: &mut Rank,
    work: &Work<'_>,
    opinions: Vec<Option<Opinion>>,
    report: &mut StepReport,
) -> Sums {
    // A rank that shares its batch statistics is waited for in every layer, also without images.
    let together = rank.student.across().is_some();
    let last = work.parts.iter().rposition(|part| together || part.images() > 0);
    let start = rank.student.statistics.buffer.copy();
    let classes = rank.student.architecture().classes;
    let mut sums = Sums::default();
    for (index, ((part, mixed), opinion)) in
        work.parts.iter().zip(work.mixed).zip(opinions).enumerate()
    {
        let mask = mask(part, work.admitted, mixed);
        let pseudo = opinion.as_ref().map_or(&part.labels, |opinion| &opinion.label);
        let mut lesson = if part.images() == 0 && !together {
            rank.reduction.skip();
            forward_backward::nothing_learnt(&rank.student, classes)
        } else {
            rank.student.statistics.copy_from(&start);
            let (student, reduction) = (&rank.student, &mut rank.reduction);
            let is_last = work.is_last && last == Some(index);
            let backward = |loss: &Tensor| reduction.backward(loss, student, is_last);
            forward_backward::learn(student, part, mixed, pseudo, &mask, work.scale, backward)
        };
        let logits = std::mem::replace(&mut lesson.logits, Tensor::new());
        report.parts.push(PartReport { opinion, mask, logits });
        sums.push(lesson);
    }
    rank.student.statistics.copy_from(&start);
    sums
}

/// 1 for each image of the part that was admitted, else 0.
fn mask(part: &Part, admitted: &[Admitted], like: &Tensor) -> Tensor {
    let is_admitted = |key| admitted.binary_search_by_key(key, |one| one.key).is_ok();
    let mask = part.keys.iter().map(|key| if is_admitted(key) { 1.0_f32 } else { 0.0 });
    let mask: Vec<f32> = mask.collect();
    Tensor::from_slice(&mask).to_kind(like.kind()).to_device(like.device())
}

impl StepReport {
    fn empty(reduction: &Reduction) -> Self {
        let gradient = reduction.gradient().shallow_clone();
        let (admitted, parts) = (Vec::new(), Vec::new());
        let (images, left_out) = (0, 0);
        let (loss_mix, loss_self, stop) = (0.0, 0.0, false);
        Self { images, left_out, loss_mix, loss_self, admitted, gradient, stop, parts }
    }

    /// The loss that was minimised.
    pub fn loss(&self, alpha: f64) -> f64 {
        self.loss_mix + alpha * self.loss_self
    }

    /// Makes losses and gradient, which were divided by the images that were `planned`, means over those
    /// that came. How many these are is known with the sums over ranks, and so without a message of its
    /// own; and a step from which nothing was left out stays what it is to the last bit.
    fn settle(&mut self, planned: u64) {
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
    fn take(&mut self, totals: &Totals, admitted: Vec<Admitted>) -> Result<(), StepError> {
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
    use crate::admission::Settings;

    /// Story: keys were counted up from the first one, which would have moved every admission behind an
    /// image that was left out to its neighbour.
    #[test]
    fn candidates_and_admissions_keep_their_places_behind_an_image_that_was_left_out() {
        let settings = Settings {
            policy: Policy::Reference,
            confidence: 0.5,
            quota_rate: None,
            burst_steps: 1,
            share: 1_000_000,
            crest_alpha: 0.0,
        };
        let rules = Rules::new(&[10, 1], settings);
        let part = Part {
            images: Tensor::zeros([3, 1, 1, 3], (Kind::Float, tch::Device::Cpu)),
            labels: Tensor::from_slice(&[0_i64, 0, 0]),
            permutation: Tensor::from_slice(&[0_i64, 1, 2]),
            lambda: 1.0,
            keys: vec![3, 5, 9],
        };
        let opinion = Opinion {
            logits: Tensor::new(),
            label: Tensor::from_slice(&[1_i64, 0, 1]),
            confidence: Tensor::from_slice(&[0.9_f32, 0.9, 0.8]),
        };
        let parts = [part];
        let found = candidates(&rules, &parts, &[Some(opinion)]);
        assert_eq!(found.iter().map(|one| one.key).collect::<Vec<_>>(), [3, 9]);
        let admitted = [4, 9, 10].map(|key| Admitted { key, label: 1 });
        let mask = mask(&parts[0], &admitted, &parts[0].images);
        assert_eq!(Vec::<f32>::try_from(mask).unwrap(), [0.0, 0.0, 1.0]);
    }
}
