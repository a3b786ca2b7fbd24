//! Settings that are accepted for the sake of the published command line, but do less than one
//! might think.

mod published;
mod unread;

use crate::arguments::TrainArguments;
use crate::origin::{Origin, Origins};
use crate::run_config::{
    DatasetName, Devices, MixingName, Optimizer, Precision, RunConfig, SamplerName, ScheduleName,
    TrainableName,
};

/// Images of a logical rank from which on mixing them with each other is worth its name: of n images, one
/// in n is mixed with itself.
const MIXED_MIN: usize = 8;

/// One note for each such setting that someone has written, and one for a command line of the published
/// code whose run is another one here.
pub(crate) fn notes(config: &RunConfig, origins: &Origins, parsed: &TrainArguments) -> Vec<String> {
    let written = |path: &str| {
        !matches!(origins.get(path), None | Some(Origin::Default | Origin::Auto { .. }))
    };
    let difference =
        published::difference(config, origins, &parsed.given, !parsed.configs.is_empty());
    let mut notes: Vec<String> = difference.into_iter().collect();
    if notes.is_empty() && written("train.beta") {
        notes.push(
            "beta is accepted and recorded; nothing reads it, as in the published code".into(),
        );
    }
    let name = config.data.name;
    if written("data.imb_factor")
        && matches!(
            name,
            DatasetName::ImagenetLt | DatasetName::PlacesLt | DatasetName::Inaturalist2018
        )
    {
        notes.push(format!(
            "imb_factor is recorded only: {name} is long-tailed as published, with its own counts"
        ));
    }
    if written("data.on_corrupt") && !name.lies_in_shards() {
        notes.push(format!("on_corrupt is recorded only: {name} has no records in shards"));
    }
    if config.train.start_epoch > 1 {
        notes.push(
            "start_epoch is recorded only; --resume continues where the newest checkpoint stands"
                .into(),
        );
    }
    if written("data.stage") && !config.data.stage.is_empty() && !name.lies_in_shards() {
        notes.push(format!("stage is recorded only: {name} has no shards that could be copied"));
    }
    if config.train.precision == Precision::Tf32 && config.run.gpu == Devices::Cpu {
        notes.push("tf32 is arithmetic of GPUs: on the CPU it is fp32".into());
    }
    if config.run.min_ranks > 0 && (config.run.max_restarts == 0 || config.run.hosts.is_empty()) {
        notes.push(
            "min_ranks does something only with --max_restarts and --hosts: where a host is gone, a restart goes on \
             without it"
                .into(),
        );
    }
    notes.extend(few_to_mix(config));
    let (criterion, sampler) = (config.train.criterion, config.data.sampler);
    let draws_alike =
        [SamplerName::Random, SamplerName::QuasiRandom, SamplerName::Sequential].contains(&sampler);
    if criterion.weighs_classes() && !draws_alike {
        notes.push(format!(
            "the class weights of {criterion} average 1 over the training images; the sampler {sampler} draws rare \
             classes more often, so here losses are larger and rare classes count twice"
        ));
    }
    notes.extend(of_optimiser(config, &written));
    // Presets and files serve more than one run; who writes a flag means this one.
    let given = |path: &str| matches!(origins.get(path), Some(Origin::Flag(_) | Origin::Set(_)));
    notes.extend(unread::unread(config, &given));
    let (warmup, epochs) = (config.train.warmup_epochs, config.train.epochs);
    if epochs > 0 && warmup >= epochs && config.train.schedule != ScheduleName::Constant {
        notes.push(format!(
            "the warm-up of {warmup} epochs fills the whole run of {epochs}, so lr never falls"
        ));
    }
    notes
}

/// What to say of the optimiser: settings that are of another one, and of a backbone that nobody trains.
fn of_optimiser(config: &RunConfig, written: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut notes = Vec::new();
    let train = &config.train;
    if train.trainable == TrainableName::Classifier && config.model.init.is_empty() {
        notes.push("without --init the classifier is trained on features of random weights".into());
    }
    let other_optimizer =
        ["train.momentum"].into_iter().filter(|_| train.optimizer != Optimizer::Sgd);
    let of_adam = ["train.adam_beta1", "train.adam_beta2", "train.adam_epsilon"].into_iter();
    let other_optimizer =
        other_optimizer.chain(of_adam.filter(|_| train.optimizer != Optimizer::AdamW));
    for path in other_optimizer.filter(|path| written(path)) {
        notes.push(format!("{path} is recorded only: {} has none", train.optimizer));
    }
    let of_step = ["train.decay_epochs", "train.decay_rate"].into_iter();
    for path in of_step.filter(|path| train.schedule != ScheduleName::Step && written(path)) {
        notes.push(format!("{path} is recorded only: it is of schedule step"));
    }
    notes
}

/// What to say of logical ranks that have too few images to mix.
fn few_to_mix(config: &RunConfig) -> Option<String> {
    let pieces = config.train.accumulate_steps * config.run.virtual_ranks;
    let images = config.train.batch_size / pieces;
    if config.train.mixing == MixingName::None || images >= MIXED_MIN {
        return None;
    }
    let mixing = config.train.mixing;
    let whole = if config.train.accumulate_steps > 1 { "micro-batch" } else { "batch" };
    let mixes = match images {
        0 | 1 => format!("1 image of a {whole} with itself, so {mixing} does nothing"),
        _ => format!("{images} images of a {whole} with each other, so {mixing} does little"),
    };
    let enough = MIXED_MIN * pieces;
    Some(format!("each logical rank mixes {mixes}; --batch_size={enough} gives each {MIXED_MIN}"))
}
