//! Settings of something that the run does not have.

use crate::run_config::CriterionName::{
    BalancedSoftmax, ClassBalanced, Focal, LabelSmoothing, Ldam, LdamDrw, LogitAdjustment,
};
use crate::run_config::{
    CriterionName, DatasetName, Head, Method, Protocol, RefitMethod, RunConfig, Unlabelled,
};

/// What only self-labelling reads, beside what the published command line gives.
const OF_LCSL: [&str; 5] = [
    "loss.admitted",
    "admission.after_epochs",
    "admission.agreement",
    "admission.quantile",
    "admission.alignment",
];

/// A note for each key that someone has given on the command line although nothing reads it in this run.
pub(super) fn unread(config: &RunConfig, given: &dyn Fn(&str) -> bool) -> Vec<String> {
    let is_one_of = |names: &[CriterionName]| names.contains(&config.train.criterion);
    let unlabelled = &config.data.unlabelled;
    let groups: [(bool, &str, &[&str]); 14] = [
        (
            config.refit.method != RefitMethod::None,
            "there is no refit (--refit)",
            &["refit.epochs", "refit.lr"],
        ),
        (
            *unlabelled != Unlabelled::None,
            "there are no unlabelled images (--unlabelled)",
            &["data.unlabelled_ratio", "data.unlabelled_aug"],
        ),
        (
            *unlabelled == Unlabelled::HeldBack,
            "no images are held back (--unlabelled=held_back)",
            &["data.unlabelled_largest", "data.unlabelled_imb_factor"],
        ),
        (
            config.data.name == DatasetName::Synthetic,
            "it is of dataset synthetic",
            &["data.synthetic_classes", "data.synthetic_largest", "data.synthetic_test_per_class"],
        ),
        (
            config.train.protocol == Protocol::Honest,
            "protocol paper keeps the classifier as trained",
            &["evaluation.tau_sweep", "evaluation.adjustment_sweep"],
        ),
        (config.model.head == Head::Cosine, "it is of head cosine", &["model.cosine_scale"]),
        (config.train.method == Method::Lcsl, "it is of method lcsl", &OF_LCSL),
        (
            config.train.method == Method::Lcsl && is_one_of(&[BalancedSoftmax, LogitAdjustment]),
            "it is of method lcsl on criteria balanced_softmax and logit_adjustment",
            &["loss.prior_admissions"],
        ),
        (is_one_of(&[Focal]), "it is of criterion focal", &["loss.focal_gamma"]),
        (
            is_one_of(&[ClassBalanced, LdamDrw]),
            "it is of criteria class_balanced and ldam_drw",
            &["loss.class_balanced_beta"],
        ),
        (
            is_one_of(&[Ldam, LdamDrw]),
            "it is of criteria ldam and ldam_drw",
            &["loss.ldam_max_margin"],
        ),
        (is_one_of(&[LdamDrw]), "it is of criterion ldam_drw", &["loss.deferred_share"]),
        (
            is_one_of(&[LogitAdjustment]),
            "it is of criterion logit_adjustment",
            &["loss.adjustment_tau"],
        ),
        (
            is_one_of(&[LabelSmoothing]),
            "it is of criterion label_smoothing",
            &["loss.label_smoothing"],
        ),
    ];
    let unread = groups.iter().filter(|(is_read, ..)| !is_read);
    unread
        .flat_map(|(_, why, keys)| keys.iter().map(move |key| (key, why)))
        .filter(|(key, _)| given(key))
        .map(|(key, why)| format!("{key} is recorded only: {why}"))
        .collect()
}
