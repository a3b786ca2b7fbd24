//! `[train]`: the optimisation.

use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// The optimisation: method, schedule and step size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// What is minimised.
    pub method: Method,
    /// The loss of a target; that of `method`, where that is a loss.
    pub criterion: CriterionName,
    /// How images are mixed.
    pub mixing: MixingName,
    /// How the best model and the teacher are chosen.
    pub protocol: Protocol,
    /// Number of passes over the training set, at least 1.
    pub epochs: u64,
    /// Images per step over all ranks, at least `run.virtual_ranks`.
    pub batch_size: usize,
    /// Micro-batches of a global batch, at least 1; the batch has at least one image for each logical rank
    /// in each of them.
    pub accumulate_steps: usize,
    /// The learning rate at the end of the warm-up, above 0.
    pub lr: f64,
    /// Momentum of SGD, in [0, 1).
    pub momentum: f64,
    /// Whether SGD looks ahead by its momentum (Nesterov's form, as in PyTorch).
    pub nesterov: bool,
    /// L2 penalty on every parameter, at least 0.
    pub weight_decay: f64,
    /// Which parameters move, but for a refit.
    pub trainable: TrainableName,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Share of `AdamW`'s mean gradient that stays at each step, in [0, 1).
    pub adam_beta1: f64,
    /// Share of `AdamW`'s mean squared gradient that stays at each step, in [0, 1).
    pub adam_beta2: f64,
    /// What `AdamW` adds to the root of the mean squared gradient, above 0.
    pub adam_epsilon: f64,
    /// The learning rate of a layer of a vision transformer, as a part of that of the layer behind it, in (0, 1].
    pub layer_decay: f64,
    /// The gradient is scaled down to this L2 norm where it is longer; 0 for never.
    pub clip_grad_norm: f64,
    /// How far sharpness-aware minimisation climbs before it looks for the gradient, at least 0; 0 for not at all.
    pub sam_rho: f64,
    /// How the learning rate goes after the warm-up.
    pub schedule: ScheduleName,
    /// Epochs after each of which schedule `step` multiplies the rate by `decay_rate`, at least 1.
    pub decay_epochs: u64,
    /// What schedule `step` multiplies the rate by, in (0, 1].
    pub decay_rate: f64,
    /// Epochs of linear warm-up; 0 for none.
    pub warmup_epochs: u64,
    /// What a moving average of the weights keeps at each step, in [0, 1); 0 for no average. Where there is one, it is
    /// measured, selected and saved as the best model in place of the weights as they are.
    pub ema_decay: f64,
    /// Weight of the self-labelled term of the loss, at least 0.
    pub alpha: f64,
    /// Recorded and never read: the published code declares this weight and never uses it.
    pub beta: f64,
    /// The published way to continue a run, counted from 1; above 1 only together with
    /// `run.resume`.
    pub start_epoch: u64,
    /// Ends the run after this many steps; written 0 for no limit.
    #[serde(with = "zero_is_none")]
    pub max_steps: Option<u64>,
    /// A step event goes to `metrics.jsonl` every so many steps, at least 1.
    pub log_every_steps: usize,
    /// Whether batch normalisation takes the statistics of all processes' images.
    pub sync_bn: bool,
    /// The arithmetic of forward and backward passes.
    pub precision: Precision,
}

choice! {
    /// What is minimised.
    Method {
        /// Mixup with self-labelled minority candidates (Vu et al., IEEE TCSVT 2024).
        Lcsl = "lcsl",
        /// Mixup alone (Zhang et al., ICLR 2018).
        Mixup = "mixup",
        /// Plain cross-entropy.
        Ce = "ce",
        /// The focal loss (Lin et al., ICCV 2017).
        Focal = "focal",
        /// Cross-entropy weighed by the effective number of images of each class (Cui et al., CVPR 2019).
        ClassBalanced = "class_balanced",
        /// Label-distribution-aware margins on a cosine classifier (Cao et al., NeurIPS 2019).
        Ldam = "ldam",
        /// The same, with class weights in the last part of training (deferred reweighting).
        LdamDrw = "ldam_drw",
        /// Balanced softmax (Ren et al., NeurIPS 2020).
        BalancedSoftmax = "balanced_softmax",
        /// Logit adjustment in the loss (Menon et al., ICLR 2021).
        LogitAdjustment = "logit_adjustment",
        /// Label smoothing (Szegedy et al., CVPR 2016).
        LabelSmoothing = "label_smoothing",
    }
}

impl Method {
    /// The criterion that the method is; none for those that mix or label images and take any.
    pub const fn criterion(self) -> Option<CriterionName> {
        match self {
            Self::Lcsl | Self::Mixup => None,
            Self::Ce => Some(CriterionName::Ce),
            Self::Focal => Some(CriterionName::Focal),
            Self::ClassBalanced => Some(CriterionName::ClassBalanced),
            Self::Ldam => Some(CriterionName::Ldam),
            Self::LdamDrw => Some(CriterionName::LdamDrw),
            Self::BalancedSoftmax => Some(CriterionName::BalancedSoftmax),
            Self::LogitAdjustment => Some(CriterionName::LogitAdjustment),
            Self::LabelSmoothing => Some(CriterionName::LabelSmoothing),
        }
    }

    /// Criterion and mixing that the name stands for where nothing else is asked for.
    pub const fn implies(self) -> (CriterionName, MixingName) {
        match self.criterion() {
            Some(own) => (own, MixingName::None),
            None => (CriterionName::Ce, MixingName::Mixup),
        }
    }
}

choice! {
    /// The loss of a target. [`Method`] names their sources.
    CriterionName {
        /// Cross-entropy.
        Ce = "ce",
        /// The focal loss.
        Focal = "focal",
        /// Cross-entropy with class weights.
        ClassBalanced = "class_balanced",
        /// Margins on cosines.
        Ldam = "ldam",
        /// Margins on cosines, and class weights in the last part of training.
        LdamDrw = "ldam_drw",
        /// Cross-entropy under the prior of the training images.
        BalancedSoftmax = "balanced_softmax",
        /// The same with the logarithm of the prior times τ.
        LogitAdjustment = "logit_adjustment",
        /// Cross-entropy against targets that are partly spread over all classes.
        LabelSmoothing = "label_smoothing",
    }
}

impl CriterionName {
    /// Whether its margins are those of angles, so that it needs a cosine head.
    pub const fn needs_cosines(self) -> bool {
        matches!(self, Self::Ldam | Self::LdamDrw)
    }

    /// Whether it gives classes weights that average 1 over the training images.
    pub const fn weighs_classes(self) -> bool {
        matches!(self, Self::ClassBalanced | Self::LdamDrw)
    }
}

choice! {
    /// How the images of a logical batch are mixed with each other.
    MixingName {
        /// Not at all.
        None = "none",
        /// Sums of two images (Zhang et al., ICLR 2018).
        Mixup = "mixup",
        /// A rectangle of one image in another (Yun et al., ICCV 2019).
        Cutmix = "cutmix",
    }
}

choice! {
    /// How the best model and the teacher are chosen; tables never mix the two.
    Protocol {
        /// On a validation split; the test set is read once, at the end.
        Honest = "honest",
        /// On the test set, as the published code does.
        Paper = "paper",
    }
}

choice! {
    /// The optimiser.
    Optimizer {
        /// Stochastic gradient descent with momentum and weight decay on every parameter.
        Sgd = "sgd",
        /// Adam with weight decay that is not part of the gradient (Loshchilov and Hutter, ICLR 2019).
        AdamW = "adamw",
    }
}

choice! {
    /// Which parameters of the student move.
    TrainableName {
        /// All.
        All = "all",
        /// The classifier alone, on features that stay as they are: a linear probe.
        Classifier = "classifier",
    }
}

choice! {
    /// How the learning rate goes after the warm-up.
    ScheduleName {
        /// Half a cosine, which never reaches 0.
        Cosine = "cosine",
        /// A straight line, which never reaches 0.
        Linear = "linear",
        /// Smaller by a factor every so many epochs.
        Step = "step",
        /// Not at all.
        Constant = "constant",
    }
}

choice! {
    /// The arithmetic of forward and backward passes.
    Precision {
        /// IEEE single precision throughout.
        Fp32 = "fp32",
        /// The same, but a GPU rounds the factors of convolutions and matrix products to 10 bits of mantissa.
        Tf32 = "tf32",
        /// The backbone computes in bfloat16; master weights, normalisation's parameters and statistics, classifier,
        /// loss and optimiser are in single precision.
        Bf16 = "bf16",
    }
}

/// TOML has no null, so the absence of a limit is written 0.
mod zero_is_none {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde's `with` hands over a reference to the field")]
    pub(super) fn serialize<S: Serializer>(limit: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(limit.unwrap_or(0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        Ok(Some(u64::deserialize(from)?).filter(|&limit| limit > 0))
    }
}
