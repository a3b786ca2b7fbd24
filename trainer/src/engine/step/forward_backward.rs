//! What one logical rank does with its batch: forward pass, loss, backward pass.

use tch::{Kind, Tensor};

use super::context::Task;
use super::criterion::{self, Loss};
use super::sums::{Scalars, StepSums};
use crate::engine::data::local_batch::LogicalBatch;
use crate::engine::network::{Mode, Network};

/// One logical batch, mixed, labelled and decided on.
pub struct LabelledBatch<'a> {
    /// The images as they were drawn, and their classes.
    pub batch: &'a LogicalBatch,
    /// The mixed images (N, H, W, 3).
    pub mixed: &'a Tensor,
    /// ŷ, the teacher's labels (N), i64; any classes where there is no teacher.
    pub pseudo: &'a Tensor,
    /// 1 for each image that was admitted, else 0 (N).
    pub mask: &'a Tensor,
}

/// What a logical batch leaves besides its gradient.
#[derive(Debug)]
pub struct LogicalOutput {
    /// What it adds to the sums over logical batches and ranks.
    pub sums: StepSums,
    /// Logits (N × classes), for the records of the golden tests.
    pub logits: Tensor,
}

/// Forward and backward pass of a logical batch: loss = Σ [λ·ℓ(out, y) + (1 − λ)·ℓ(out, y∘permutation) +
/// α·mask·ℓ(out, ŷ)] / images, where ℓ is the task's criterion (Vu et al., 2024, eq. 8, with
/// cross-entropy), or in the last term plain cross-entropy.
///
/// `images` is the size of the whole step as planned, over all ranks and micro-batches: losses are sums
/// divided by it, so that gradients simply add up. `backward` is given the loss. Leaves the student's
/// running statistics moved.
pub fn forward_backward(
    student: &Network,
    labelled: &LabelledBatch<'_>,
    task: &Task,
    images: u64,
    backward: impl FnOnce(&Tensor),
) -> LogicalOutput {
    let LabelledBatch { batch, mixed, pseudo, mask } = labelled;
    if task.clean_forward && !task.keeps_statistics() {
        let _guard = tch::no_grad_guard();
        let _ = student.forward(&batch.images, Mode::Train);
    }
    let logits = match &task.frozen {
        Some(backbone) => {
            let features = tch::no_grad(|| backbone.features(mixed));
            student.classify(&features, student.classifier_weight())
        }
        None => student.forward(mixed, Mode::Train),
    };
    let partner = batch.labels.index_select(0, &batch.permutation);
    let targets = Tensor::stack(&[&batch.labels, &partner, pseudo], 1);
    let weights = Tensor::cat(&[&batch.mixing, &mask.unsqueeze(1)], 1);
    let weights = criterion::class_weighted(weights, task.class_weights.as_ref(), &targets);
    let corrected = task.student_offsets.as_ref().map(|offsets| &logits + offsets);
    let corrected = corrected.as_ref().unwrap_or(&logits);
    let losses = task.criterion.losses(corrected, &targets) / images as f64 * weights;
    let [own, other, mut admitted] = [0, 1, 2].map(|column| losses.select(1, column));
    if task.plain_admitted {
        let plain = Loss::CrossEntropy.losses(&logits, &pseudo.unsqueeze(1)).select(1, 0);
        admitted = plain / images as f64 * *mask;
    }
    let mixture = (own + other).sum(None::<Kind>);
    let admitted = admitted.sum(None::<Kind>);
    let loss = &mixture + &admitted * task.alpha();
    backward(&loss);
    if batch.images() == 0 {
        // It was there because the other ranks waited for it.
        return LogicalOutput::empty(student);
    }
    let scalars = Scalars {
        logical_batches: 1.0,
        loss_mix: mixture.double_value(&[]),
        loss_self: admitted.double_value(&[]),
        images: batch.images() as f64,
        ..Scalars::default()
    };
    let running_statistics = to_f64(&student.running_statistics.buffer);
    LogicalOutput { sums: StepSums { running_statistics, scalars }, logits: logits.detach() }
}

impl LogicalOutput {
    /// That of an empty logical batch.
    pub fn empty(student: &Network) -> Self {
        let (parameters, statistics) =
            (&student.parameters.buffer, &student.running_statistics.buffer);
        let classes = student.architecture().classes;
        Self {
            sums: StepSums::empty(statistics.numel()),
            logits: Tensor::zeros([0, classes], (parameters.kind(), parameters.device())),
        }
    }
}

fn to_f64(flat: &Tensor) -> Vec<f64> {
    let elements = flat.numel();
    let mut values = vec![0_f64; elements];
    flat.to_kind(Kind::Double).copy_data(&mut values, elements);
    values
}
