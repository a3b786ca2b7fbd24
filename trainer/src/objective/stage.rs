//! Stages of a run.

use lcsl_config::SamplerName;

use super::{Criterion, Prior};
use crate::schedule::{Shape, learning_rate};

/// Stages, one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    stages: Vec<Stage>,
}

/// Some epochs in which the same is minimised.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// How long it lasts; 0 where nothing is trained, and it is the only one.
    pub epochs: u64,
    /// The learning rate of each of its epochs.
    pub schedule: Schedule,
    /// Whether it begins with the best model so far, where there is one.
    pub from_best: bool,
    /// Whether the classifier is drawn anew before its first step.
    pub restart_classifier: bool,
    /// Which parameters move; what does not is not summed over ranks either.
    pub trainable: Trainable,
    /// How an epoch draws the training images.
    pub sampler: SamplerName,
    /// How images are mixed.
    pub mixing: Mixing,
    /// How the teacher labels, if it does.
    pub pseudo_labels: Option<PseudoLabelling>,
    /// The loss of a target.
    pub criterion: Criterion,
    /// The class prior that logits are corrected by, if they are.
    pub prior: Option<Prior>,
    /// Weight of each class's targets in the loss (C), about 1 on average; none for equal weights.
    pub class_weights: Option<Vec<f64>>,
    /// Whether admitted pseudo-labels are measured by plain cross-entropy, and not as all other targets.
    pub plain_admitted: bool,
    /// What the trainable part of the network sees.
    pub input: Input,
}

/// The learning rate over some epochs: linear warm-up, then a shape. Neighbouring stages may share one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub base: f64,
    /// How it goes after the warm-up.
    pub shape: Shape,
    /// Epochs of the warm-up.
    pub warmup_epochs: u64,
    /// Epochs from its beginning to its end, at least 1.
    pub epochs: u64,
    /// How many of them lie before the stage.
    pub before: u64,
}

impl Schedule {
    /// The schedule of a stage of its own.
    pub fn alone(base: f64, shape: Shape, warmup_epochs: u64, epochs: u64) -> Self {
        Self { base, shape, warmup_epochs, epochs, before: 0 }
    }
}

/// Which parameters of the student move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trainable {
    /// All.
    All,
    /// Weight and bias of the classifier (cRT: Kang et al., ICLR 2020, section 4.1); batch normalisation has its
    /// running statistics, which stay as they are.
    Classifier,
    /// The lengths of the rows of the classifier's weight (LWS: Kang et al., ICLR 2020, section 4.1): of a row's
    /// gradient, the part along the row. They train factors of the rows, which is the same with a learning rate of its
    /// own for each class.
    RowLengths,
}

/// How the images of a logical batch are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    /// Not at all: each image has weight 1, and its partner 0.
    None,
    /// One λ ~ Beta(1, 1) per step, a permutation per logical rank (Zhang et al., ICLR 2018).
    Mixup,
    /// One rectangle per step, a permutation per logical rank (Yun et al., ICCV 2019).
    Cutmix,
}

/// How the teacher's labels of mixed images enter the loss (Vu et al., 2024).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PseudoLabelling {
    /// Weight α of the admitted pseudo-labels.
    pub alpha: f64,
    /// The teacher's logits are divided by this before the softmax.
    pub temperature: f64,
    /// Whether mixed training images are candidates.
    pub mixed: bool,
    /// Unlabelled images for each training image, which are candidates too; 0 without unlabelled images.
    pub unlabelled_ratio: u64,
    /// Whether the moving average of the weights labels, as it is at each step, and not the best model so far.
    pub by_average: bool,
    /// Whether only labels that are one of an image's two mixed classes are candidates.
    pub agreement: bool,
}

impl PseudoLabelling {
    /// Candidates for each training image of a step, before the gate.
    pub fn candidates_per_image(&self) -> u64 {
        u64::from(self.mixed) + self.unlabelled_ratio
    }
}

/// What the trainable part of the network sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Augmented images, through the whole network.
    Images,
}

impl Stage {
    /// The stage in two, of which the first has so many epochs; one, where nothing would be left of the other. They
    /// share its schedule.
    pub fn cut(self, epochs: u64) -> Vec<Self> {
        if epochs == 0 || epochs >= self.epochs {
            return vec![self];
        }
        let before = self.schedule.before + epochs;
        let schedule = Schedule { before, ..self.schedule };
        let rest = Self { epochs: self.epochs - epochs, schedule, ..self.clone() };
        vec![Self { epochs, ..self }, rest]
    }
}

impl Objective {
    /// These stages.
    ///
    /// # Panics
    /// When there is none, or one of several without an epoch: nobody can write that in a configuration.
    pub fn new(stages: Vec<Stage>) -> Self {
        assert!(!stages.is_empty(), "a run has a stage");
        let only = stages.len() == 1;
        assert!(only || stages.iter().all(|stage| stage.epochs > 0), "a stage has an epoch");
        Self { stages }
    }

    /// The stages, in order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Epochs of all stages together.
    pub fn epochs(&self) -> u64 {
        self.stages.iter().map(|stage| stage.epochs).sum()
    }

    /// The stage of an epoch (from 0) and how many of its epochs lie before. What comes after the last
    /// epoch belongs to the last stage.
    pub fn at(&self, epoch: u64) -> (&Stage, u64) {
        let mut before = epoch;
        for stage in &self.stages {
            if before < stage.epochs {
                return (stage, before);
            }
            before -= stage.epochs;
        }
        let last = &self.stages[self.stages.len() - 1];
        (last, last.epochs + before)
    }

    /// The learning rate of an epoch, from 0.
    pub fn learning_rate(&self, epoch: u64) -> f64 {
        let (stage, before) = self.at(epoch);
        let Schedule { base, shape, warmup_epochs, epochs, before: earlier } = stage.schedule;
        learning_rate(shape, base, earlier + before, epochs, warmup_epochs)
    }

    /// Whether a stage begins with this epoch.
    pub fn begins_at(&self, epoch: u64) -> bool {
        epoch < self.epochs() && self.at(epoch).1 == 0
    }

    /// How many of the epochs before this one have a teacher that labels.
    pub fn labelled_before(&self, epoch: u64) -> u64 {
        (0..epoch).filter(|epoch| self.at(*epoch).0.pseudo_labels.is_some()).count() as u64
    }

    /// Whether some stage needs a teacher.
    pub fn labels_itself(&self) -> bool {
        self.stages.iter().any(|stage| stage.pseudo_labels.is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stage(epochs: u64) -> Stage {
        Stage {
            epochs,
            schedule: Schedule::alone(0.1, Shape::Cosine, 1, epochs),
            from_best: false,
            restart_classifier: false,
            trainable: Trainable::All,
            sampler: SamplerName::Random,
            mixing: Mixing::None,
            pseudo_labels: None,
            criterion: Criterion::CrossEntropy,
            prior: None,
            class_weights: None,
            plain_admitted: false,
            input: Input::Images,
        }
    }

    /// Deferred reweighting (Cao et al., NeurIPS 2019, section 3.3) is two stages that differ in their
    /// class weights and share a schedule; other stages begin with a warm-up of their own.
    #[test]
    fn deferred_reweighting_is_two_stages() {
        let weights = Some(vec![0.5, 1.5]);
        let whole = Schedule::alone(0.1, Shape::Cosine, 1, 5);
        let plain = Stage { schedule: whole, ..stage(3) };
        let schedule = Schedule { before: 3, ..whole };
        let reweighted = Stage { class_weights: weights.clone(), schedule, ..stage(2) };
        let objective = Objective::new(vec![plain.clone(), reweighted.clone()]);
        let one = Objective::new(vec![stage(5)]);
        for epoch in 0..5 {
            let rates =
                [&objective, &one].map(|objective| objective.learning_rate(epoch).to_bits());
            assert_eq!(rates[0], rates[1], "epoch {epoch}");
        }
        let apart = Stage { schedule: Schedule::alone(0.1, Shape::Cosine, 1, 2), ..reweighted };
        let objective = Objective::new(vec![plain, apart]);
        let weighted: Vec<bool> =
            (0..5).map(|epoch| objective.at(epoch).0.class_weights.is_some()).collect();
        assert_eq!(weighted, [false, false, false, true, true]);
        assert_eq!((0..6).filter(|epoch| objective.begins_at(*epoch)).collect::<Vec<_>>(), [0, 3]);
        assert!((objective.learning_rate(3) - 0.1).abs() < 1e-12, "the second warm-up");
    }

    proptest! {
        #[test]
        fn every_epoch_belongs_to_one_stage(lengths in prop::collection::vec(1_u64..9, 1..5)) {
            let objective = Objective::new(lengths.iter().map(|epochs| stage(*epochs)).collect());
            prop_assert_eq!(objective.epochs(), lengths.iter().sum::<u64>());
            let mut epoch = 0;
            for length in lengths {
                for before in 0..length {
                    let (stage, found) = objective.at(epoch);
                    prop_assert_eq!((stage.epochs, found), (length, before));
                    prop_assert_eq!(objective.begins_at(epoch), before == 0);
                    epoch += 1;
                }
            }
            prop_assert!(!objective.begins_at(epoch));
        }
    }
}
