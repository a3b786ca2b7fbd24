//! What holds between the network, its images, and how its parts are trained.

use super::Breach;
use crate::run_config::{Head, Optimizer, RefitMethod, RunConfig};
use crate::zoo::ZOO;

pub(super) fn nothing_to_scale(config: &RunConfig) -> Option<Breach> {
    if config.refit.method != RefitMethod::Lws {
        return None;
    }
    if config.model.head == Head::Cosine {
        return Some(Breach::new(
            "refit.method lws scales the rows of the classifier, whose lengths model.head cosine does not see",
            "take --head=linear, or another refit",
        ));
    }
    let optimizer = config.train.optimizer;
    (optimizer != Optimizer::Sgd).then(|| {
        Breach::new(
            format!("refit.method lws keeps the direction of each row, but {optimizer} turns it"),
            "take --optimizer=sgd, or another refit",
        )
    })
}

pub(super) fn nothing_to_adjust(config: &RunConfig) -> Option<Breach> {
    (config.evaluation.adjustment_sweep && config.model.head == Head::Cosine).then(|| {
        Breach::new(
            "evaluation.adjustment_sweep changes the bias of the classifier, and model.head cosine has none",
            "take --head=linear, or leave the adjustment out",
        )
    })
}

pub(super) fn layers_of_another_family(config: &RunConfig) -> Option<Breach> {
    let (decay, entry) = (config.train.layer_decay, config.model.name.entry());
    (decay < 1.0 && entry.patch.is_none()).then(|| {
        Breach::new(
            format!("train.layer_decay is {decay}, but {} is no vision transformer", entry.name),
            "leave it out, or take --model=vit_b_16",
        )
    })
}

pub(super) fn no_epochs_and_no_weights(config: &RunConfig) -> Option<Breach> {
    (config.train.epochs == 0 && config.model.init.is_empty()).then(|| {
        Breach::new(
            "train.epochs is 0, and model.init names no weights: nothing would have been trained",
            "give --epochs, or --init with the weights of a trained model, which is then refitted or measured",
        )
    })
}

pub(super) fn image_of_broken_patches(config: &RunConfig) -> Option<Breach> {
    let (size, entry) = (config.data.image_size, config.model.name.entry());
    let patch = entry.patch.filter(|patch| size >= entry.smallest_input && size % patch != 0)?;
    Some(Breach::new(
        format!("data.image_size is {size}, which the patches of {} do not divide", entry.name),
        format!("give a multiple of {patch}, such as {}", size.next_multiple_of(patch)),
    ))
}

pub(super) fn image_too_small(config: &RunConfig) -> Option<Breach> {
    let (size, entry) = (config.data.image_size, config.model.name.entry());
    let smallest = entry.smallest_input;
    (size < smallest).then(|| {
        let fits = ZOO.iter().filter(|other| size >= other.smallest_input);
        let fitting: Vec<&str> = fits.map(|other| other.name.word()).collect();
        let hint = format!("for images this small there are {}", fitting.join(", "));
        let what = format!(
            "data.image_size is {size}, but {} takes images of at least {smallest} pixels",
            entry.name
        );
        Breach::new(what, hint)
    })
}
