//! Rules about unlabelled images and who labels them.

use super::Breach;
use crate::run_config::{Method, RunConfig, StrongAugmentation, TeacherName, Unlabelled};

pub(super) fn without_a_teacher(config: &RunConfig) -> Option<Breach> {
    let method = config.train.method;
    (config.data.unlabelled != Unlabelled::None && method != Method::Lcsl).then(|| {
        Breach::new(
            format!(
                "data.unlabelled is {}, but train.method {method} labels nothing",
                config.data.unlabelled
            ),
            format!(
                "take --method=lcsl --criterion={}, or leave --unlabelled out",
                config.train.criterion
            ),
        )
    })
}

pub(super) fn foreign_recipe(config: &RunConfig) -> Option<Breach> {
    let (dataset, name) = (config.data.name, config.data.unlabelled_aug);
    let recipes = dataset.recipes();
    (!recipes.contains(&name.recipe(dataset))).then(|| {
        let is_offered = |word: &&str| StrongAugmentation::WORDS.contains(word);
        let words: Vec<&str> =
            recipes.iter().map(|recipe| recipe.word()).filter(is_offered).collect();
        Breach::new(
            format!("data.unlabelled_aug is {name}, a recipe that {dataset} does not have"),
            format!("{dataset} has strong, {}", words.join(", ")),
        )
    })
}

pub(super) fn no_candidates(config: &RunConfig) -> Option<Breach> {
    let none = config.train.method == Method::Lcsl && config.data.unlabelled == Unlabelled::None;
    (none && !config.admission.mixed).then(|| {
        Breach::new(
            "admission.mixed is false and there are no unlabelled images, so nobody could be admitted",
            "name unlabelled images with --unlabelled, or leave admission.mixed out",
        )
    })
}

pub(super) fn no_average(config: &RunConfig) -> Option<Breach> {
    let labels =
        config.train.method == Method::Lcsl && config.admission.teacher == TeacherName::Ema;
    (labels && config.train.ema_decay <= 0.0).then(|| {
        Breach::new(
            "admission.teacher is ema, but train.ema_decay is 0: there is no moving average",
            "take --ema_decay=0.999, which keeps about the last thousand steps",
        )
    })
}

pub(super) fn labelled_after_the_end(config: &RunConfig) -> Option<Breach> {
    let (after, epochs) = (config.admission.after_epochs, config.train.epochs);
    let never = config.train.method == Method::Lcsl && epochs > 0 && after >= epochs;
    never.then(|| {
        Breach::new(
            format!(
                "admission.after_epochs is {after} of {epochs} epochs: nobody would ever label"
            ),
            "give more --epochs, or a smaller admission.after_epochs",
        )
    })
}
