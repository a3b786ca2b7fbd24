//! What a step did.

use tch::Tensor;

use super::sums::{MicroBatchReport, Wishes};
use super::teacher::PseudoLabels;
use crate::admission::{Admitted, BesideStudent};

/// What a step did, the same on all ranks but for `logical`.
#[derive(Debug)]
pub struct StepReport {
    /// Images of the step over all ranks, without those that were skipped.
    pub images: u64,
    /// Images that were planned and skipped, over all ranks: their records are corrupt.
    pub skipped: u64,
    /// Mixup loss.
    pub loss_mix: f64,
    /// Loss of the admitted pseudo-labels, without α.
    pub loss_self: f64,
    /// Who was admitted, by ascending key.
    pub admitted: Vec<Admitted>,
    /// Candidates that passed the gate, by the class of their label; empty where nobody labels.
    pub passing: Vec<u64>,
    /// Mixed images that were admitted under one of their two classes.
    pub agreeing: u64,
    /// The teacher's labels beside what the student says of the same images.
    pub student: BesideStudent,
    /// Gradient summed over all logical batches (flat); the next step overwrites it.
    pub gradient: Tensor,
    /// What any rank wishes to happen after this step.
    pub wishes: Wishes,
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

impl StepReport {
    /// Of a step that has made nothing yet; `gradient` is where its gradient will lie.
    pub(super) fn empty(gradient: Tensor) -> Self {
        Self {
            images: 0,
            skipped: 0,
            loss_mix: 0.0,
            loss_self: 0.0,
            admitted: Vec::new(),
            passing: Vec::new(),
            agreeing: 0,
            student: BesideStudent::default(),
            gradient,
            wishes: Wishes::default(),
            logical: Vec::new(),
        }
    }

    /// The loss that was minimised.
    pub fn loss(&self, alpha: f64) -> f64 {
        self.loss_mix + alpha * self.loss_self
    }

    /// Adds a micro-batch.
    pub(super) fn add(&mut self, micro_batch: &MicroBatchReport) {
        let MicroBatchReport { loss_mix, loss_self, images, wishes, agreeing, student, .. } =
            *micro_batch;
        self.student += student;
        self.images += images;
        self.agreeing += agreeing;
        self.loss_mix += loss_mix;
        self.loss_self += loss_self;
        self.wishes = self.wishes.or(wishes);
    }

    /// Makes losses, which were divided by the images that were `planned`, means over those that came. How many these
    /// are is known with the sums over ranks, and so without a message of its own; and a step from which nothing was
    /// skipped stays what it is to the last bit.
    pub(super) fn rescale(&mut self, planned: u64) {
        self.skipped = planned - self.images;
        if let Some(factor) = self.factor() {
            self.loss_mix *= factor;
            self.loss_self *= factor;
        }
    }

    /// By what a gradient has to be multiplied that was divided by the images as planned; nothing where all came, or
    /// none.
    pub(super) fn factor(&self) -> Option<f64> {
        let factor = (self.images + self.skipped) as f64 / self.images as f64;
        (self.skipped > 0 && self.images > 0).then_some(factor)
    }
}
