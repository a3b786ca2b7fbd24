//! What `--method` stands for.

use lcsl_config::{
    AdmittedLoss, Method, MixingName, Protocol, Refit, RefitMethod, RunConfig, SamplerName,
    ScheduleName, TeacherName, Train, TrainableName, Unlabelled,
};

use super::criterion::{Resolved, all_have_images, balanced_prior};
use super::{
    Criterion, EmptyClasses, Input, Mixing, Objective, PseudoLabelling, Schedule, Stage, Trainable,
};
use crate::schedule::Shape;

impl Objective {
    /// The objective of a configuration, with so many training images of each class. Class weights that come later
    /// (deferred reweighting) make a stage of their own, which goes on with the schedule of the first.
    ///
    /// # Errors
    /// When the criterion divides by the images of a class that has none.
    pub fn of(config: &RunConfig, counts: &[u64]) -> Result<Self, EmptyClasses> {
        let train = &config.train;
        let mixing = match train.mixing {
            MixingName::None => Mixing::None,
            MixingName::Mixup => Mixing::Mixup,
            MixingName::Cutmix => Mixing::Cutmix,
        };
        let labels = train.method == Method::Lcsl;
        let Resolved { criterion, prior, class_weights, deferred_weights } =
            Resolved::of(config, counts)?;
        if config.evaluation.adjustment_sweep && train.protocol == Protocol::Honest {
            all_have_images("evaluation.adjustment_sweep", counts)?;
        }
        let unlabelled = config.data.unlabelled != Unlabelled::None;
        let labelling = PseudoLabelling {
            alpha: train.alpha,
            temperature: config.admission.temperature,
            mixed: config.admission.mixed,
            unlabelled_ratio: if unlabelled { config.data.unlabelled_ratio } else { 0 },
            by_average: config.admission.teacher == TeacherName::Ema,
            agreement: config.admission.agreement,
        };
        let whole = Stage {
            epochs: train.epochs,
            schedule: Schedule::alone(train.lr, shape(train), train.warmup_epochs, train.epochs),
            from_best: false,
            restart_classifier: false,
            trainable: match train.trainable {
                TrainableName::All => Trainable::All,
                TrainableName::Classifier => Trainable::Classifier,
            },
            sampler: config.data.sampler,
            mixing,
            pseudo_labels: labels.then_some(labelling),
            criterion,
            prior,
            class_weights,
            plain_admitted: config.loss.admitted == AdmittedLoss::Plain,
            input: Input::Images,
        };
        let last = (train.epochs as f64 * config.loss.deferred_share).round() as u64;
        let refit = refit(config, &whole, counts)?;
        let mut stages = match deferred_weights.filter(|_| last > 0) {
            None if train.epochs == 0 && refit.is_some() => Vec::new(),
            None => vec![whole],
            Some(weights) => {
                let mut stages = whole.cut(train.epochs - last);
                if let Some(deferred) = stages.last_mut() {
                    deferred.class_weights = Some(weights);
                }
                stages
            }
        };
        stages = labelled_after(stages, config.admission.after_epochs);
        stages.extend(refit);
        Ok(Self::new(stages))
    }
}

/// The stages, in the first so many epochs of which nobody labels.
fn labelled_after(stages: Vec<Stage>, epochs: u64) -> Vec<Stage> {
    let mut before = 0;
    let parts = stages.into_iter().flat_map(|stage| {
        let begins = before;
        before += stage.epochs;
        let is_late = begins >= epochs;
        let mut parts = stage.cut(epochs.saturating_sub(begins));
        if !is_late && let Some(first) = parts.first_mut() {
            first.pseudo_labels = None;
        }
        parts
    });
    parts.collect()
}

/// How the learning rate goes after the warm-up.
fn shape(train: &Train) -> Shape {
    match train.schedule {
        ScheduleName::Cosine => Shape::Cosine,
        ScheduleName::Linear => Shape::Linear,
        ScheduleName::Step => Shape::Step { epochs: train.decay_epochs, factor: train.decay_rate },
        ScheduleName::Constant => Shape::Constant,
    }
}

/// The last stage, in which the classifier alone trains, where there is one: on images that are not mixed, and that
/// have no labels but their own.
fn refit(
    config: &RunConfig,
    before: &Stage,
    counts: &[u64],
) -> Result<Option<Stage>, EmptyClasses> {
    let Refit { method, epochs, lr } = config.refit;
    let (sampler, prior) = match method {
        RefitMethod::None => return Ok(None),
        RefitMethod::Crt | RefitMethod::Lws => (SamplerName::ClassBalanced, None),
        RefitMethod::Balanced => (before.sampler, Some(balanced_prior(counts)?)),
    };
    Ok(Some(Stage {
        epochs,
        schedule: Schedule::alone(lr, Shape::Cosine, 0, epochs),
        from_best: true,
        restart_classifier: method != RefitMethod::Lws,
        trainable: match method {
            RefitMethod::Lws => Trainable::RowLengths,
            _ => Trainable::Classifier,
        },
        sampler,
        mixing: Mixing::None,
        pseudo_labels: None,
        criterion: Criterion::CrossEntropy,
        prior,
        class_weights: None,
        plain_admitted: false,
        input: before.input,
    }))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use lcsl_config::{Machine, parse_train};

    use super::*;

    fn objective(more: &[&str]) -> Objective {
        let flags = ["--dataset=synthetic", "--alpha=0.5", "--tau=2"].map(OsString::from);
        let flags: Vec<_> = flags.into_iter().chain(more.iter().map(OsString::from)).collect();
        let config = parse_train(&flags, &Machine { cores: 2, gpus: None }).unwrap().config;
        Objective::of(&config, &[30, 10]).unwrap()
    }

    fn stage(method: &str) -> Stage {
        let objective = objective(&[&format!("--method={method}")]);
        assert_eq!(objective.stages().len(), 1);
        objective.stages()[0].clone()
    }

    /// The three methods differ in mixing and in pseudo-labels, and in nothing else.
    #[test]
    fn ce_mixup_and_lcsl_are_three_values() {
        let [ce, mixup, lcsl] = ["ce", "mixup", "lcsl"].map(stage);
        assert_eq!((ce.mixing, ce.pseudo_labels), (Mixing::None, None));
        assert_eq!(mixup, Stage { mixing: Mixing::Mixup, ..ce });
        let labelling = PseudoLabelling {
            alpha: 0.5,
            temperature: 2.0,
            mixed: true,
            unlabelled_ratio: 0,
            by_average: false,
            agreement: false,
        };
        assert_eq!(lcsl, Stage { pseudo_labels: Some(labelling), ..mixup });
    }

    #[test]
    fn deferred_weights_come_with_the_last_part_of_the_epochs() {
        let lengths = |more: &[&str]| {
            let objective = objective(&[&["--method=ldam_drw"], more].concat());
            let of = |stage: &Stage| (stage.epochs, stage.class_weights.is_some());
            objective.stages().iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&["--epochs=200"]), [(160, false), (40, true)]);
        assert_eq!(lengths(&["--epochs=2"]), [(2, false)]);
        assert_eq!(lengths(&["--epochs=1", "--set=loss.deferred_share=1"]), [(1, true)]);
        let drw = objective(&["--method=ldam_drw", "--epochs=10"]);
        let ldam = objective(&["--method=ldam", "--epochs=10"]);
        for epoch in 0..10 {
            assert_eq!(drw.learning_rate(epoch).to_bits(), ldam.learning_rate(epoch).to_bits());
        }
    }

    /// Self-labelling, mixing and criterion are chosen apart.
    #[test]
    fn lcsl_takes_any_criterion_and_any_mixing() {
        let [usual, other] = [&[][..], &["--criterion=balanced_softmax", "--mixing=cutmix"]]
            .map(|flags| objective(flags).stages()[0].clone());
        assert_eq!(other.pseudo_labels, usual.pseudo_labels);
        assert_eq!(other.mixing, Mixing::Cutmix);
        assert_eq!(other.prior.map(|prior| prior.scale), Some(1.0));
        assert_eq!(other.criterion, usual.criterion);
        let counting =
            ["--criterion=balanced_softmax", "--set=loss.prior_admissions=0.5", "--refit=balanced"];
        let counting = objective(&counting);
        let weights = counting.stages().iter().map(|stage| stage.prior.map(|it| it.admissions));
        assert_eq!(weights.collect::<Vec<_>>(), [Some(0.5), Some(0.0)], "nobody labels in a refit");
    }

    #[test]
    fn a_class_without_images_is_refused_where_it_would_be_divided_by() {
        let of = |method: &str| {
            let flags = ["--dataset=synthetic".into(), format!("--method={method}").into()];
            let config = parse_train(&flags, &Machine { cores: 2, gpus: None }).unwrap().config;
            Objective::of(&config, &[30, 0]).is_ok()
        };
        assert!(["ce", "focal", "label_smoothing", "lcsl"].into_iter().all(of));
        let divide = ["class_balanced", "ldam", "ldam_drw", "balanced_softmax", "logit_adjustment"];
        assert!(!divide.into_iter().any(of));
        let adjusted =
            ["--dataset=synthetic".into(), "--set=evaluation.adjustment_sweep=true".into()];
        let config = parse_train(&adjusted, &Machine { cores: 2, gpus: None }).unwrap().config;
        assert!(Objective::of(&config, &[30, 0]).is_err());
    }

    /// A teacher that labels too early is believed for ever: its mistakes become what the next one learns. The learning
    /// rate does not notice.
    #[test]
    fn nobody_labels_in_the_first_epochs_where_that_is_asked_for() {
        let of = |more: &[&str]| {
            let objective = objective(&[&["--method=lcsl", "--epochs=10"], more].concat());
            let stages = objective.stages().iter();
            let stages = stages.map(|stage| (stage.epochs, stage.pseudo_labels.is_some()));
            (stages.collect::<Vec<_>>(), objective)
        };
        let (stages, late) = of(&["--set=admission.after_epochs=4", "--refit=crt"]);
        assert_eq!(stages, [(4, false), (6, true), (2, false)]);
        assert_eq!([0, 4, 5, 10, 12].map(|epoch| late.labelled_before(epoch)), [0, 0, 1, 6, 6]);
        let (stages, usual) = of(&["--refit=crt"]);
        assert_eq!(stages, [(10, true), (2, false)]);
        for epoch in 0..12 {
            assert_eq!(late.learning_rate(epoch).to_bits(), usual.learning_rate(epoch).to_bits());
        }
        let drw = ["--criterion=ldam_drw", "--set=admission.after_epochs=9"];
        assert_eq!(of(&drw).0, [(8, false), (1, false), (1, true)]);
    }

    /// What was trained elsewhere is refitted, or only measured.
    #[test]
    fn without_epochs_there_is_the_refit_alone_or_nothing() {
        let refit = objective(&["--epochs=0", "--init=a", "--refit=crt", "--set=refit.epochs=3"]);
        assert_eq!((refit.stages().len(), refit.epochs()), (1, 3));
        assert_eq!(refit.stages()[0].trainable, Trainable::Classifier);
        assert!(refit.begins_at(0));
        let nothing = objective(&["--epochs=0", "--init=a", "--method=ldam_drw"]);
        assert_eq!((nothing.epochs(), nothing.begins_at(0)), (0, false));
    }

    /// "Decoupled" training: a backbone by any method, then a classifier on what it sees.
    #[test]
    fn a_refit_is_a_last_stage_of_the_classifier_alone() {
        let last = |refit: &str| {
            let objective = objective(&["--epochs=5", refit, "--set=refit.epochs=3"]);
            assert_eq!(objective.epochs(), 8);
            objective.stages()[1].clone()
        };
        let [crt, balanced] = ["--refit=crt", "--refit=balanced"].map(last);
        assert_eq!(
            (crt.trainable, crt.mixing, crt.pseudo_labels),
            (Trainable::Classifier, Mixing::None, None)
        );
        assert_eq!((crt.sampler, crt.prior), (SamplerName::ClassBalanced, None));
        assert_eq!(
            (balanced.sampler, balanced.prior.map(|it| it.scale)),
            (SamplerName::Random, Some(1.0))
        );
        assert!(balanced.from_best && balanced.restart_classifier);
        let lws = last("--refit=lws");
        let scaled = Stage { restart_classifier: false, trainable: Trainable::RowLengths, ..crt };
        assert_eq!(lws, scaled);
        assert_eq!(objective(&["--epochs=5"]).epochs(), 5);
    }
}
