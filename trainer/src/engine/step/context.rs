//! Everything that a rank holds while it makes steps.

use lcsl_collective::{CollectiveError, Communicator};
use tch::{Device, Kind, Tensor};

use super::criterion::Loss;
use super::teacher::Teacher;
use crate::admission::{Ledger, MILLION, Rules};
use crate::clock::Clock;
use crate::engine::gradients::reducer::Reducer;
use crate::engine::native::normalisation::SyncBatchNorm;
use crate::engine::network::{Folded, Network};
use crate::engine::optim::Optimiser;
use crate::engine::optim::average::WeightAverage;
use crate::objective::{PseudoLabelling, Stage, Trainable};

/// Everything that a rank holds while it makes steps.
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
    /// The network of the newest evaluation, as trained, where that one labels; before the first, the student's first
    /// weights, which do not.
    pub latest: Option<Network>,
    /// The optimiser.
    pub optimiser: Optimiser,
    /// The moving average of the student, where there is one.
    pub average: Option<WeightAverage>,
    /// A gradient that is longer is scaled down to this L2 norm; 0 is no limit.
    pub clip_grad_norm: f64,
    /// ρ of sharpness-aware minimisation; 0 is the ordinary gradient.
    pub sam_rho: f64,
    /// Who is admitted.
    pub rules: Rules,
    /// What admission remembers.
    pub ledger: Ledger,
    /// What the stage at hand minimises.
    pub task: Task,
    /// Where the rank is, and where its time goes.
    pub clock: Clock,
    /// Whether this rank wishes for a checkpoint after the step.
    pub wants_checkpoint: bool,
    /// Whether the device decides on a step by itself, so that the host reads what it came to when it has handed over
    /// the next one; as a GPU wants it.
    pub reads_late: bool,
}

/// What a stage says of the loss, as a step needs it.
#[derive(Debug)]
pub struct Task {
    /// The loss of a target.
    pub criterion: Loss,
    /// Whether admitted pseudo-labels are measured by plain cross-entropy instead.
    pub plain_admitted: bool,
    /// How the teacher labels, if it does.
    pub pseudo_labels: Option<PseudoLabelling>,
    /// Weight of each class's targets (C), in the type of the logits; none for equal weights.
    pub class_weights: Option<Tensor>,
    /// What is added to the student's logits in the loss (C): the logarithm of a prior.
    pub student_offsets: Option<Tensor>,
    /// What is taken from the teacher's logits (C).
    pub teacher_offsets: Option<Tensor>,
    /// Whether a forward pass of the unmixed images, read by nobody, first moves the running
    /// statistics, as in the published code.
    pub clean_forward: bool,
    /// The backbone, where it stays as it is; then batch normalisation has its running statistics.
    pub frozen: Option<Folded>,
    /// Whether the rows of the classifier's weight keep their directions, and only their lengths are learnt.
    pub row_lengths: bool,
}

impl Task {
    /// Of `stage`, for logits of this type on this device, in an epoch before which each class had so many
    /// training images, and admissions in each on average; labels are aligned by these millionths of each class, or not
    /// at all.
    pub fn of(
        stage: &Stage,
        clean_forward: bool,
        (kind, device): (Kind, Device),
        (counts, admitted): (&[u64], &[f64]),
        alignment: &[i64],
    ) -> Self {
        let by_class = |values: &[f64]| Tensor::from_slice(values).to_kind(kind).to_device(device);
        let offsets = stage.prior.map(|prior| by_class(&prior.logit_offsets(counts, admitted)));
        let corrects_teacher = stage.prior.is_some_and(|prior| prior.corrects_teacher);
        let of_prior = offsets.as_ref().filter(|_| corrects_teacher).map(Tensor::shallow_clone);
        let aligned: Vec<f64> = alignment.iter().map(|it| *it as f64 / MILLION as f64).collect();
        let aligned = (!aligned.is_empty()).then(|| by_class(&aligned));
        Self {
            criterion: Loss::of(&stage.criterion, kind, device),
            plain_admitted: stage.plain_admitted,
            pseudo_labels: stage.pseudo_labels,
            class_weights: stage.class_weights.as_deref().map(by_class),
            teacher_offsets: match (of_prior, aligned) {
                (Some(prior), Some(aligned)) => Some(prior + aligned),
                (prior, aligned) => prior.or(aligned),
            },
            student_offsets: offsets,
            clean_forward,
            frozen: None,
            row_lengths: stage.trainable == Trainable::RowLengths,
        }
    }

    /// Whether batch normalisation's statistics stay as they are, and those of the batch do not count.
    pub fn keeps_statistics(&self) -> bool {
        self.frozen.is_some()
    }

    /// Logits of the student as the criterion sees them: with the logarithm of the prior, where there is one.
    pub(super) fn corrected(&self, logits: &Tensor) -> Tensor {
        self.student_offsets
            .as_ref()
            .map_or_else(|| logits.shallow_clone(), |offsets| logits + offsets)
    }

    /// Unlabelled images for each training image.
    pub(super) fn ratio(&self) -> u64 {
        self.pseudo_labels.map_or(0, |labelling| labelling.unlabelled_ratio)
    }

    /// Weight α of the admitted pseudo-labels; without self-labelling there are none to be weighed.
    pub fn alpha(&self) -> f64 {
        self.pseudo_labels.map_or(0.0, |labelling| labelling.alpha)
    }
}

impl StepContext {
    /// The network that is measured: the moving average of the student, where there is one.
    pub fn measured(&self) -> &Network {
        self.average.as_ref().map_or(&self.student, WeightAverage::network)
    }

    /// Lets the teacher be what the task says, where that changes from step to step.
    pub(super) fn refresh_teacher(&mut self) {
        let follows = self.task.pseudo_labels.is_some_and(|labelling| labelling.by_average);
        if let (true, Some(teacher), Some(average)) = (follows, &mut self.teacher, &self.average) {
            teacher.follow(average.network());
        }
    }

    /// Leaves the world, with all communicators, when every rank has nothing more to say. Collective.
    ///
    /// # Errors
    /// What the world reports.
    pub fn leave(&mut self) -> Result<(), CollectiveError> {
        self.reducer.leave()?;
        self.student.sync_batch_norm().map_or(Ok(()), SyncBatchNorm::leave)?;
        self.world.leave()
    }
}

#[cfg(test)]
mod tests {
    use lcsl_config::{Machine, parse_train};

    use super::*;
    use crate::objective::Objective;

    /// Whether or not the teacher has learnt a prior that is taken from its logits.
    #[test]
    fn labels_are_aligned_beside_what_a_prior_takes() {
        let flags = ["--dataset=synthetic".into(), "--criterion=balanced_softmax".into()];
        let config = parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config;
        let mut stage = Objective::of(&config, &[30, 10]).unwrap().at(0).0.clone();
        let offsets = |stage: &Stage, alignment: &[i64]| {
            let layout = (Kind::Double, Device::Cpu);
            let task = Task::of(stage, false, layout, (&[30, 10], &[0.0; 2]), alignment);
            task.teacher_offsets.map(|it| Vec::<f64>::try_from(it).unwrap())
        };
        assert_eq!(offsets(&stage, &[]), None);
        assert_eq!(offsets(&stage, &[250_000, -500_000]), Some(vec![0.25, -0.5]));
        stage.prior.as_mut().unwrap().corrects_teacher = true;
        let prior = [0.75_f64.ln(), 0.25_f64.ln()];
        assert_eq!(offsets(&stage, &[]), Some(prior.to_vec()));
        let both = offsets(&stage, &[250_000, -500_000]).unwrap();
        assert_eq!(both, [prior[0] + 0.25, prior[1] - 0.5]);
    }
}
