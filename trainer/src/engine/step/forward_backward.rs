//! What one logical rank does with its batch: forward pass, loss, backward pass.

use tch::{Kind, Tensor};

use super::context::Task;
use super::criterion::{self, Loss};
use super::sums::StepSums;
use crate::engine::data::local_batch::LogicalBatch;
use crate::engine::network::{Mode, Network};

/// One logical batch, mixed, labelled and decided on.
pub struct LabelledBatch<'a> {
    /// The images as they were drawn, and their classes.
    pub batch: &'a LogicalBatch,
    /// The mixed images (N, H, W, 3).
    pub mixed: &'a Tensor,
    /// ŷ, the teacher's labels (N), i64; none where it has not labelled these images.
    pub pseudo: Option<&'a Tensor>,
    /// 1 for each image that was admitted, else 0 (N).
    pub mask: &'a Tensor,
    /// The unlabelled images that were admitted, where there are unlabelled images.
    pub unlabelled: Option<&'a AdmittedImages>,
}

/// Unlabelled images that were admitted.
#[derive(Debug)]
pub struct AdmittedImages {
    /// As they are learnt (A, H, W, 3).
    pub images: Tensor,
    /// ŷ, under which they were admitted (A), i64.
    pub labels: Tensor,
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
/// cross-entropy), or in the last term plain cross-entropy. Admitted unlabelled images go through the network together
/// with the mixed ones, so that batch normalisation sees both, and add α·Σ ℓ(out, ŷ) / (images · ratio), where ratio
/// is the number of unlabelled images for each training image: the mean over all unlabelled images of the step, of
/// which those that were not admitted count 0 (Sohn et al., `FixMatch`, NeurIPS 2020, eq. 4).
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
    let LabelledBatch { batch, mixed, pseudo, mask, unlabelled } = labelled;
    if task.clean_forward && !task.keeps_statistics() {
        let _guard = tch::no_grad_guard();
        let _ = student.forward(&batch.images, Mode::Train);
    }
    let (logits, of_unlabelled) = logits(student, mixed, *unlabelled, task);
    let partner = batch.labels.index_select(0, &batch.permutation);
    let named = pseudo.unwrap_or(&batch.labels);
    let targets = Tensor::stack(&[&batch.labels, &partner, named], 1);
    let weights = Tensor::cat(&[&batch.mixing, &mask.unsqueeze(1)], 1);
    let weights = criterion::class_weighted(weights, task.class_weights.as_ref(), &targets);
    let losses =
        task.criterion.losses(&task.corrected(&logits), &targets) / images as f64 * weights;
    let [own, other, mut admitted] = [0, 1, 2].map(|column| losses.select(1, column));
    if task.plain_admitted {
        let plain = Loss::CrossEntropy.losses(&logits, &named.unsqueeze(1)).select(1, 0);
        admitted = plain / images as f64 * *mask;
    }
    let mixture = (own + other).sum(None::<Kind>);
    let mut admitted = admitted.sum(None::<Kind>);
    if let Some((logits, labels)) = &of_unlabelled {
        admitted += loss_of_admitted(logits, labels, task) / (images * task.ratio()) as f64;
    }
    let loss = &mixture + &admitted * task.alpha();
    backward(&loss);
    if batch.images() == 0 {
        // It was there because the other ranks waited for it.
        return LogicalOutput::empty(student);
    }
    let of_mixed = pseudo.map(|labels| alike(&logits, labels));
    let of_unlabelled = of_unlabelled.map(|(logits, labels)| alike(&logits, labels));
    let alike: Vec<Tensor> = of_mixed.into_iter().chain(of_unlabelled).collect();
    let statistics = &student.running_statistics.buffer;
    let sums = StepSums::of(statistics, [&mixture, &admitted], &alike, batch.images());
    LogicalOutput { sums, logits: logits.detach() }
}

/// Logits of the mixed images, and of unlabelled ones that were admitted, with their labels: one forward pass of both.
fn logits<'a>(
    student: &Network,
    mixed: &Tensor,
    unlabelled: Option<&'a AdmittedImages>,
    task: &Task,
) -> (Tensor, Option<(Tensor, &'a Tensor)>) {
    let forward = |images: &Tensor| match &task.frozen {
        Some(backbone) => {
            let features = tch::no_grad(|| backbone.features(images));
            student.classify(&features, student.classifier())
        }
        None => student.forward(images, Mode::Train),
    };
    let Some(AdmittedImages { images, labels }) = unlabelled.filter(|it| it.labels.numel() > 0)
    else {
        return (forward(mixed), None);
    };
    let logits = forward(&Tensor::cat(&[mixed, images], 0));
    let (first, count) = (mixed.size()[0], images.size()[0]);
    (logits.narrow(0, 0, first), Some((logits.narrow(0, first, count), labels)))
}

/// Which of the teacher's `labels` (N) are the likeliest class in the student's logits (N × classes), too: true or
/// false for each.
fn alike(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.argmax(-1, false).eq_tensor(labels)
}

/// Σ ℓ(logits, label) over unlabelled images that were admitted, with the weights of their classes.
fn loss_of_admitted(logits: &Tensor, labels: &Tensor, task: &Task) -> Tensor {
    let targets = labels.unsqueeze(1);
    let losses = if task.plain_admitted {
        Loss::CrossEntropy.losses(logits, &targets)
    } else {
        let weights = targets.to_kind(logits.kind()).full_like(1.0);
        let weights = criterion::class_weighted(weights, task.class_weights.as_ref(), &targets);
        task.criterion.losses(&task.corrected(logits), &targets) * weights
    };
    losses.sum(None::<Kind>)
}

impl LogicalOutput {
    /// That of an empty logical batch.
    pub fn empty(student: &Network) -> Self {
        let (parameters, statistics) =
            (&student.parameters.buffer, &student.running_statistics.buffer);
        let classes = student.architecture().classes;
        Self {
            sums: StepSums::empty(statistics),
            logits: Tensor::zeros([0, classes], (parameters.kind(), parameters.device())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Reduction};

    use super::*;
    use crate::engine::host;
    use crate::engine::network::weights::{Role, initialise};
    use crate::engine::network::{Architecture, Shortcut};
    use crate::objective::PseudoLabelling;
    use lcsl_config::Initialisation;

    fn student() -> Network {
        let architecture = Architecture::cifar(1, 4, Shortcut::Pad, 3);
        let mut network = Network::zeros(&architecture, Kind::Double, Device::Cpu, true);
        initialise(&mut network, Initialisation::KaimingNormalFanIn, 1, Role::Student);
        network
    }

    fn pictures(count: i64, seed: f64) -> Tensor {
        let values = Tensor::arange(count * 8 * 8 * 3, (Kind::Double, Device::Cpu));
        ((values * 0.37 + seed).sin()).view([count, 8, 8, 3])
    }

    fn gradient(network: &Network) -> Tensor {
        let views = network.parameters.views();
        Tensor::cat(&views.iter().map(|view| view.grad().view([-1])).collect::<Vec<_>>(), 0)
    }

    fn task(offsets: &Tensor, plain_admitted: bool) -> Task {
        let labelling = PseudoLabelling {
            alpha: 0.5,
            temperature: 1.0,
            mixed: false,
            unlabelled_ratio: 2,
            by_average: false,
            agreement: false,
        };
        Task {
            criterion: Loss::CrossEntropy,
            plain_admitted,
            pseudo_labels: Some(labelling),
            class_weights: None,
            student_offsets: Some(offsets.shallow_clone()),
            teacher_offsets: None,
            clean_forward: false,
            frozen: None,
            row_lengths: false,
        }
    }

    /// The loss of admitted unlabelled images as one writes it down with libtorch's own cross-entropy: they are
    /// normalised together with the mixed images, and their mean is over all unlabelled images of the step.
    #[test]
    fn admitted_unlabelled_images_add_their_mean_over_all_that_were_drawn() {
        let batch = LogicalBatch {
            images: pictures(4, 0.0),
            labels: Tensor::from_slice(&[0_i64, 1, 2, 0]),
            permutation: Tensor::from_slice(&[3_i64, 2, 1, 0]),
            mixing: Tensor::from_slice(&[0.75_f64, 0.25]).expand([4, 2], false),
            patch: None,
            keys: (0..4).collect(),
            unlabelled: None,
        };
        let mixed = batch.mix();
        let unlabelled =
            AdmittedImages { images: pictures(3, 1.0), labels: Tensor::from_slice(&[2_i64, 2, 1]) };
        let none = AdmittedImages {
            images: pictures(0, 0.0),
            labels: Tensor::zeros([0], (Kind::Int64, Device::Cpu)),
        };
        let offsets = Tensor::from_slice(&[-0.3_f64, -1.0, -2.5]);
        let (images, step) = (batch.images(), 10); // of the step, most of which other ranks have
        for (admitted, plain) in [(&unlabelled, false), (&unlabelled, true), (&none, false)] {
            let task = task(&offsets, plain);
            let ours = student();
            let (pseudo, mask) = (batch.labels.shallow_clone(), mixed.zeros_like().select(3, 0));
            let mask = mask.select(2, 0).select(1, 0);
            let labelled = LabelledBatch {
                batch: &batch,
                mixed: &mixed,
                pseudo: Some(&pseudo),
                mask: &mask,
                unlabelled: Some(admitted),
            };
            let output = forward_backward(&ours, &labelled, &task, step, Tensor::backward);

            let theirs = student();
            let logits = theirs.forward(&Tensor::cat(&[&mixed, &admitted.images], 0), Mode::Train);
            let corrected = &logits + &offsets;
            let rest = if plain { &logits } else { &corrected };
            let sum = |logits: &Tensor, labels: &Tensor| {
                logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Sum, -100, 0.0)
            };
            let first = corrected.narrow(0, 0, images as i64);
            let partner = batch.labels.index_select(0, &batch.permutation);
            let mixture = sum(&first, &batch.labels) * 0.75 + sum(&first, &partner) * 0.25;
            let mixture = mixture / step as f64;
            let count = admitted.labels.size()[0];
            let drawn = (step * 2) as f64;
            let own = sum(&rest.narrow(0, images as i64, count), &admitted.labels) / drawn;
            (&mixture + &own * 0.5).backward();

            let close =
                |found: f64, expected: &Tensor| (found - expected.double_value(&[])).abs() < 1e-12;
            let summed = host::read(&output.sums.computed);
            let [.., loss_mix, loss_self, same] = summed[..] else { panic!("{summed:?}") };
            assert!(close(loss_mix, &mixture), "{plain}");
            assert!(close(loss_self, &own), "{plain}");
            let off = (gradient(&ours) - gradient(&theirs)).abs().max().double_value(&[]);
            assert!(off < 1e-12, "{plain}: {off}");
            let statistics = &theirs.running_statistics.buffer;
            assert!(ours.running_statistics.buffer.allclose(statistics, 1e-12, 1e-12, false));
            assert_eq!(output.sums.images, 4, "images are training images");
            let labels = Tensor::cat(&[&pseudo, &admitted.labels], 0);
            let expected = logits.argmax(1, false).eq_tensor(&labels).sum(Kind::Int64);
            assert!(close(same, &expected), "{same}");
            assert_eq!(output.sums.compared, 4 + count as u64);
        }
    }
}
