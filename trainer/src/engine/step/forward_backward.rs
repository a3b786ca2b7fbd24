//! What one logical rank does with its logical batch: loss and backward pass; and what leaves the rank.

use lcsl_collective::CollectiveError;
use lcsl_collective::order::BinaryCounter;
use tch::{Kind, Tensor};

use crate::engine::data::local_batch::LogicalBatch;
use crate::engine::network::{Mode, Network};

/// Numbers that travel behind the running statistics.
const EXTRAS: usize = 5;

/// The constants of the loss.
#[derive(Debug, Clone, Copy)]
pub struct LossScale {
    /// Weight of the admitted pseudo-labels.
    pub alpha: f64,
    /// Images of the whole step as planned, over all ranks and micro-batches: losses are sums over a
    /// logical batch divided by this, so that gradients simply add up.
    pub images: u64,
    /// Whether a forward pass of the unmixed images, read by nobody, first moves the running
    /// statistics, as in the published code.
    pub clean_forward: bool,
}

/// What a logical batch has taught the student, besides its gradient.
#[derive(Debug)]
pub struct LogicalOutput {
    /// Running statistics as this logical batch alone would have left them (flat, float64), then the
    /// [`EXTRAS`]: 1 for a logical batch that has images, the two losses, room for the wish to stop, and the
    /// images.
    tail: Vec<f64>,
    /// Logits (N × classes), for the records of the golden tests.
    pub logits: Tensor,
}

/// Forward and backward pass of a logical batch: loss = Σ [λ·CE(out, y) + (1 − λ)·CE(out, y∘permutation) +
/// α·mask·CE(out, ŷ)] / images.
///
/// `pseudo` is ŷ and `mask` (0 or 1) says who was admitted; both have one entry per image. `backward`
/// is given the loss. Leaves the student's running statistics moved.
pub fn forward_backward(
    student: &Network,
    batch: &LogicalBatch,
    mixed: &Tensor,
    pseudo: &Tensor,
    mask: &Tensor,
    scale: LossScale,
    backward: impl FnOnce(&Tensor),
) -> LogicalOutput {
    if scale.clean_forward {
        let _guard = tch::no_grad_guard();
        let _ = student.forward(&batch.images, Mode::Train);
    }
    let logits = student.forward(mixed, Mode::Train);
    let partner = batch.labels.index_select(0, &batch.permutation);
    let targets = Tensor::stack(&[&batch.labels, &partner, pseudo], 1);
    let images = scale.images as f64;
    let cross_entropy = -logits.log_softmax(-1, None).gather(1, &targets, false) / images;
    let [own, other, pseudo] = [0, 1, 2].map(|column| cross_entropy.select(1, column));
    let mixture = (own * batch.lambda + other * (1.0 - batch.lambda)).sum(None::<Kind>);
    let admitted = (pseudo * mask).sum(None::<Kind>);
    let loss = &mixture + &admitted * scale.alpha;
    backward(&loss);
    if batch.images() == 0 {
        // It was there because the other ranks waited for it.
        return LogicalOutput::empty(student, logits.size()[1]);
    }
    let mut tail = to_f64(&student.running_statistics.buffer);
    let losses = [&mixture, &admitted].map(|loss| loss.double_value(&[]));
    tail.extend([1.0, losses[0], losses[1], 0.0, batch.images() as f64]);
    LogicalOutput { tail, logits: logits.detach() }
}

impl LogicalOutput {
    /// That of an empty logical batch: it weighs nothing, but takes its place in the tree of sums.
    pub fn empty(student: &Network, classes: i64) -> Self {
        let (parameters, statistics) =
            (&student.parameters.buffer, &student.running_statistics.buffer);
        LogicalOutput {
            tail: vec![0.0; statistics.numel() + EXTRAS],
            logits: Tensor::zeros([0, classes], (parameters.kind(), parameters.device())),
        }
    }
}

/// Statistics and losses of a micro-batch, added over the logical ranks of this rank.
#[derive(Debug, Default)]
pub struct Sums {
    tail: BinaryCounter<Vec<f64>>,
}

/// What all logical batches of a micro-batch, on all ranks, add up to.
#[derive(Debug)]
pub struct Totals {
    /// Running statistics: the mean over non-empty logical batches (flat, float64); none where all are empty.
    pub statistics: Option<Vec<f64>>,
    /// Images.
    pub images: u64,
    /// Mixup loss.
    pub loss_mix: f64,
    /// Loss of the admitted pseudo-labels, without α.
    pub loss_self: f64,
    /// Whether any rank wants to stop after this step.
    pub stop: bool,
    /// Whether what this rank contributed was finite; looked at when the sum is not.
    pub finite_here: bool,
}

impl Sums {
    /// Adds the next logical rank's output.
    pub fn push(&mut self, output: LogicalOutput) {
        self.tail.push(output.tail, add_lists);
    }

    /// What all ranks' sums add up to; `sum_over_ranks` adds a list over the world, in place. A rank that
    /// wants to `stop` says so here, and all ranks learn of it in the same step.
    pub fn finish(
        self,
        stop: bool,
        sum_over_ranks: impl FnOnce(&mut Vec<f64>) -> Result<(), CollectiveError>,
    ) -> Result<Totals, CollectiveError> {
        let mut tail = self.tail.finish(add_lists).expect("every rank has a logical rank");
        let statistics = tail.len() - EXTRAS;
        tail[statistics + 3] = f64::from(u8::from(stop));
        let finite_here = tail.iter().all(|value| value.is_finite());
        sum_over_ranks(&mut tail)?;
        let extras = tail.split_off(statistics);
        let mean = || tail.iter().map(|sum| sum / extras[0]).collect();
        Ok(Totals {
            statistics: (extras[0] > 0.0).then(mean),
            images: extras[4] as u64,
            loss_mix: extras[1],
            loss_self: extras[2],
            stop: extras[3] > 0.0,
            finite_here,
        })
    }
}

#[allow(clippy::ptr_arg)] // the shape that `BinaryCounter` asks for
fn add_lists(earlier: &mut Vec<f64>, later: Vec<f64>) {
    for (sum, value) in earlier.iter_mut().zip(later) {
        *sum += value;
    }
}

fn to_f64(flat: &Tensor) -> Vec<f64> {
    let elements = flat.numel();
    let mut values = vec![0_f64; elements];
    flat.to_kind(Kind::Double).copy_data(&mut values, elements);
    values
}
