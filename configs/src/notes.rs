//! Settings that are accepted for the sake of the published command line, but do less than one
//! might think.

use crate::origin::{Origin, Origins};
use crate::run_config::{DatasetName, RunConfig};

/// One sentence for each such setting that someone has written.
pub(crate) fn notes(config: &RunConfig, origins: &Origins) -> Vec<String> {
    let written =
        |path| !matches!(origins.get(path), None | Some(Origin::Default | Origin::Auto { .. }));
    let mut notes = Vec::new();
    if written("train.beta") {
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
