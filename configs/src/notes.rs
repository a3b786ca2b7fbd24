//! Settings that are accepted for the sake of the published command line, but do less than one
//! might think.

mod published;

use crate::arguments::Split;
use crate::origin::{Origin, Origins};
use crate::run_config::{DatasetName, RunConfig};

/// One note for each such setting that someone has written, and one for a command line of the published
/// code whose run is another one here.
pub(crate) fn notes(config: &RunConfig, origins: &Origins, split: &Split) -> Vec<String> {
    let written =
        |path| !matches!(origins.get(path), None | Some(Origin::Default | Origin::Auto { .. }));
    let difference =
        published::difference(config, origins, &split.given, !split.configs.is_empty());
    let mut notes: Vec<String> = difference.into_iter().collect();
    if notes.is_empty() && written("train.beta") {
        notes.push(
            "beta is accepted and recorded; nothing reads it, as in the published code".into(),
        );
    }
    let name = config.data.name;
    if written("data.imb_factor")
        && matches!(name, DatasetName::ImagenetLt | DatasetName::Inaturalist2018)
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
    let (warmup, epochs) = (config.train.warmup_epochs, config.train.epochs);
    if warmup >= epochs {
        notes.push(format!(
            "the warm-up of {warmup} epochs fills the whole run of {epochs}, so lr never falls"
        ));
    }
    notes
}
