//! `[loss]`, `[refit]`, `[admission]`, `[checkpoint]` and `[evaluation]`.

use super::{
    ABOVE_0, BATCH_MAX, FROM_0, FROM_0_BELOW_1, FROM_0_TO_1, Key, KeyKind, LARGEST, MILLIONTH_TO_1,
};
use crate::run_config::{
    AdmittedClasses, AdmittedLoss, OnFailedCheckpoint, Policy, RefitMethod, TeacherName,
};

pub(super) const LOSS_AND_AFTER: &[Key] = &[
    Key::new("loss.focal_gamma", FROM_0, "Gamma of focal"),
    Key::new("loss.class_balanced_beta", FROM_0_BELOW_1, "Beta of class_balanced and ldam_drw"),
    Key::new("loss.ldam_max_margin", ABOVE_0, "Margin of the smallest class in ldam"),
    Key::new(
        "loss.deferred_share",
        FROM_0_TO_1,
        "Last part of the epochs, in which ldam_drw weighs classes",
    ),
    Key::new("loss.adjustment_tau", FROM_0, "Tau of logit_adjustment"),
    Key::new(
        "loss.label_smoothing",
        FROM_0_BELOW_1,
        "Part of a target that label_smoothing spreads",
    ),
    Key::new(
        "loss.prior_admissions",
        FROM_0,
        "Weight of an admitted image beside a training image in the prior of balanced softmax",
    ),
    Key::new(
        "loss.admitted",
        KeyKind::Choice(AdmittedLoss::WORDS),
        "What admitted labels are measured by: the criterion, or plain cross-entropy",
    ),
    Key::new(
        "refit.method",
        KeyKind::Choice(RefitMethod::WORDS),
        "Train the best model's classifier once more: on balanced classes, or by balanced softmax; lws: its lengths",
    )
    .flags(&["refit"]),
    Key::new("refit.epochs", KeyKind::Integer(1, 1_000_000), "Epochs of it, after the others")
        .flags(&["refit_epochs"]),
    Key::new("refit.lr", ABOVE_0, "Its learning rate in the first of them"),
    Key::new(
        "admission.policy",
        KeyKind::Choice(Policy::WORDS),
        "Admission; auto is quota when honest, else reference",
    )
    .or_auto()
    .flags(&["policy"]),
    Key::new(
        "admission.classes",
        KeyKind::Choice(AdmittedClasses::WORDS),
        "Which labels can be admitted: of minority classes, or all",
    ),
    Key::new(
        "admission.mixed",
        KeyKind::Switch,
        "Whether the mixed training images are candidates too, where there are unlabelled ones",
    ),
    Key::new(
        "admission.teacher",
        KeyKind::Choice(TeacherName::WORDS),
        "Who labels: best model so far, that of the latest evaluation, or moving average (ema)",
    )
    .flags(&["teacher"]),
    Key::new(
        "admission.after_epochs",
        KeyKind::Integer(0, 1_000_000),
        "Epochs from the first in which nobody labels",
    ),
    Key::new(
        "admission.agreement",
        KeyKind::Switch,
        "Mixed images: only labels that are one of the two mixed classes can be admitted",
    ),
    Key::new("admission.conf", FROM_0_TO_1, "Least confidence of a candidate")
        .flags(&["lambda_init", "conf"]),
    Key::new(
        "admission.quantile",
        FROM_0_BELOW_1,
        "Least confident part of each class's candidates of the epoch before, below which none passes",
    ),
    Key::new(
        "admission.alignment",
        FROM_0_TO_1,
        "How fast the teacher's labels are moved, epoch by epoch, until each class is given equally often",
    ),
    Key::new("admission.temperature", ABOVE_0, "Temperature of the teacher's softmax")
        .flags(&["tau"]),
    Key::new(
        "admission.quota_rate",
        FROM_0_TO_1,
        "Policy quota: share of a class's deficit per epoch; auto goes by the class counts",
    )
    .or_auto(),
    Key::new(
        "admission.burst_steps",
        KeyKind::Integer(1, 1_000_000),
        "Policy quota: steps' worth of tokens a bucket holds",
    ),
    Key::new(
        "admission.share",
        MILLIONTH_TO_1,
        "Policy quota: part of a batch that minority classes may fill",
    ),
    Key::new("admission.crest_alpha", FROM_0, "Policy rate: CReST's exponent"),
    Key::new(
        "checkpoint.every_steps",
        KeyKind::Integer(0, LARGEST),
        "Steps between checkpoints; 0 counts none",
    ),
    Key::new(
        "checkpoint.every_minutes",
        KeyKind::Integer(0, 100_000),
        "Minutes between checkpoints; 0 counts none",
    ),
    Key::new(
        "checkpoint.keep_last",
        KeyKind::Integer(1, 1_000_000),
        "Newest checkpoints kept; each holds the best model too",
    ),
    Key::new(
        "checkpoint.on_failure",
        KeyKind::Choice(OnFailedCheckpoint::WORDS),
        "A checkpoint that cannot be written: stop ends the run, warn says so and goes on",
    ),
    Key::new(
        "evaluation.batch_size",
        KeyKind::Integer(1, BATCH_MAX),
        "Images per forward pass of an evaluation",
    ),
    Key::new(
        "evaluation.tta",
        KeyKind::Switch,
        "Average an image's logits with its mirror image's at the end",
    ),
    Key::new(
        "evaluation.tau_norm",
        FROM_0,
        "Exponent of the classifier's tau-normalisation at the end",
    ),
    Key::new(
        "evaluation.tau_sweep",
        KeyKind::Switch,
        "Take the exponent that is best on the validation images instead, of 0.1 to 2.5",
    ),
    Key::new(
        "evaluation.adjustment_sweep",
        KeyKind::Switch,
        "Try logits less tau times ln of each class's images too, tau being the best of 0.1 to 2.5",
    ),
    Key::new(
        "evaluation.many_above",
        KeyKind::Integer(0, LARGEST),
        "Classes with more training images are the group many of the figures",
    ),
    Key::new(
        "evaluation.few_below",
        KeyKind::Integer(0, LARGEST),
        "Classes with fewer training images are the group few",
    ),
    Key::new(
        "evaluation.every_epochs",
        KeyKind::Integer(1, LARGEST),
        "Epochs between two evaluations, by which the best model and the teacher are chosen",
    ),
];
