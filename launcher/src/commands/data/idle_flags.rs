//! Flags of `lcsl data prepare` that would do nothing for the dataset are refused: who gives one expects
//! something of it.

use super::dataset::DatasetToPrepare::{
    self, Cifar10, Cifar100, FashionMnist, Folder, ImagenetLt, Inaturalist2018, PlacesLt,
    Synthetic, Unlabelled,
};
use super::prepare::{FormToStore, Prepare};
use crate::fault::Fault;

/// Datasets whose images are files.
const FILES: &[DatasetToPrepare] = &[ImagenetLt, PlacesLt, Inaturalist2018, Folder, Unlabelled];
/// Datasets that become shards.
const SHARDS: &[DatasetToPrepare] =
    &[ImagenetLt, PlacesLt, Inaturalist2018, Folder, Unlabelled, Synthetic];
/// Datasets that are read from somewhere.
const READ: &[DatasetToPrepare] =
    &[ImagenetLt, PlacesLt, Inaturalist2018, Folder, Unlabelled, Cifar10, Cifar100, FashionMnist];

/// Refuses the flags that would do nothing, all of them at once.
pub(super) fn refuse_idle_flags(asked: &Prepare) -> Result<(), Fault> {
    let is_raw = asked.form == Some(FormToStore::Raw);
    let flags: [(&str, bool, &[DatasetToPrepare]); 17] = [
        ("--root", asked.root.is_some(), READ),
        ("--form", asked.form.is_some(), SHARDS),
        ("--raw_side", asked.raw_side.is_some(), SHARDS),
        ("--max_side", asked.max_side.is_some(), SHARDS),
        ("--quality", asked.quality.is_some(), SHARDS),
        ("--seed", asked.seed.is_some(), SHARDS),
        ("--images_per_shard", asked.images_per_shard.is_some(), SHARDS),
        ("--no_decode", asked.no_decode, FILES),
        ("--on_unreadable", asked.on_unreadable.is_some(), FILES),
        ("--threads", asked.threads.is_some(), SHARDS),
        ("--official", asked.official, &[ImagenetLt, PlacesLt, Inaturalist2018]),
        ("--imb_factor", asked.imb_factor.is_some(), &[Folder]),
        ("--test_share", asked.test_share.is_some(), &[Folder]),
        ("--val_per_class", asked.val_per_class.is_some(), &[Folder, Synthetic]),
        ("--test_per_class", asked.test_per_class.is_some(), &[Synthetic]),
        ("--counts", asked.counts.is_some(), &[Synthetic]),
        ("--image_size", asked.image_size.is_some(), &[Synthetic]),
    ];
    let name = |dataset: DatasetToPrepare| {
        let value = clap::ValueEnum::to_possible_value(&dataset);
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let names = |datasets: &[DatasetToPrepare]| {
        datasets.iter().map(|dataset| name(*dataset)).collect::<Vec<_>>().join(", ")
    };
    let mut idle = Vec::new();
    for (flag, given, datasets) in flags {
        if given && !datasets.contains(&asked.dataset) {
            idle.push(format!("{flag} is for {}", names(datasets)));
        } else if given && flag == "--raw_side" && !is_raw {
            idle.push(format!("{flag} is for --form raw"));
        } else if given && is_raw && ["--max_side", "--quality", "--no_decode"].contains(&flag) {
            idle.push(format!("{flag} is for --form jpeg: raw images are pixels of one size"));
        }
    }
    if idle.is_empty() {
        return Ok(());
    }
    let (dataset, it) = (name(asked.dataset), if idle.len() == 1 { "it" } else { "them" });
    let what = format!("given for {dataset}, and without effect:\n  - {}", idle.join("\n  - "));
    Err(Fault::usage(what, format!("leave {it} out")))
}
