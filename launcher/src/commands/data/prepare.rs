//! `lcsl data prepare`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use lcsl_data::datasets::DatasetId;
use lcsl_data::prepare::error::Blame;
use lcsl_data::prepare::{
    DatasetManifest, OnUnreadable, PrepareError, PrepareProgress, PrepareRequest, prepare,
};
use lcsl_data::shard::RecordForm;
use lcsl_text::plural;

use super::dataset::DatasetToPrepare;
use super::idle_flags::refuse_idle_flags;
use super::progress::{Position, show_while};
use crate::fault::Fault;
use crate::report::table::{counted, grouped};
use crate::terminal;
use lcsl_run_dir::exit;

/// Arguments of `lcsl data prepare`.
#[derive(Debug, Args)]
pub struct Prepare {
    /// What to prepare
    #[arg(value_enum)]
    pub dataset: DatasetToPrepare,
    /// Folder that holds the dataset as it is published [default: datasets]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Folder to write: `datasets/imagenet_lt`, say
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What is stored of an image [default: jpeg]
    #[arg(long, value_enum)]
    pub form: Option<FormToStore>,
    /// Width and height of raw images, in pixels [default: 256]
    #[arg(long = "raw_side", alias = "raw-side", value_name = "PIXELS",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub raw_side: Option<u32>,
    /// Make JPEGs with a longer side than this smaller [default: as they come]
    #[arg(long = "max_side", alias = "max-side", value_name = "PIXELS",
          value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub max_side: Option<u32>,
    /// Quality of JPEGs that are encoded again [default: 95]
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: Option<u8>,
    /// Draws the stored order, and which images are selected [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Images of a shard [default: 2000]
    #[arg(long = "images_per_shard", alias = "images-per-shard", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub images_per_shard: Option<u32>,
    /// Refuse anything but the official files, instead of a warning
    #[arg(long)]
    pub official: bool,
    /// Do not decode JPEGs whose bytes are kept, where it is certain that none is damaged
    #[arg(long = "no_decode", alias = "no-decode")]
    pub no_decode: bool,
    /// What is done about images that cannot be read [default: fail]
    #[arg(long = "on_unreadable", alias = "on-unreadable", value_enum)]
    pub on_unreadable: Option<WhenUnreadable>,
    /// Threads that write shards [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// folder: cut a long-tailed training set, smallest class over largest
    #[arg(long = "imb_factor", alias = "imb-factor", value_name = "FACTOR")]
    pub imb_factor: Option<f64>,
    /// folder: share of each class that is held out to test on [default: 0.2 where there are no test
    /// images]
    #[arg(long = "test_share", alias = "test-share", value_name = "SHARE")]
    pub test_share: Option<f64>,
    /// folder, synthetic: validation images of each class
    #[arg(long = "val_per_class", alias = "val-per-class", value_name = "N")]
    pub val_per_class: Option<usize>,
    /// synthetic: test images of each class
    #[arg(long = "test_per_class", alias = "test-per-class", value_name = "N")]
    pub test_per_class: Option<usize>,
    /// synthetic: file with the number of training images of each class, one a line
    #[arg(long, value_name = "FILE")]
    pub counts: Option<PathBuf>,
    /// synthetic: width and height of an image, in pixels [default: 32]
    #[arg(long = "image_size", alias = "image-size", value_name = "PIXELS",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub image_size: Option<u32>,
    /// Answer with the manifest on standard output
    #[arg(long)]
    pub json: bool,
}

/// What is stored of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormToStore {
    /// The JPEG as it comes, wherever possible
    Jpeg,
    /// Pixels: resized, and the middle square cut out
    Raw,
}

/// What is done about images that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum WhenUnreadable {
    /// End with all of them named
    Fail,
    /// Leave them out, and list them in unreadable.txt
    #[value(alias = "leave-out")]
    LeaveOut,
}

/// Runs `lcsl data prepare` and returns the exit code.
pub(super) fn run(asked: &Prepare) -> Result<u8, Fault> {
    refuse_idle_flags(asked)?;
    let request = request(asked);
    let progress = PrepareProgress::default();
    let position = |elapsed: Duration| position(&progress, elapsed);
    let outcome = show_while(position, || prepare(&request, &progress)).map_err(|e| fault(&e))?;
    let manifest = &outcome.manifest;
    for warning in &manifest.warnings {
        terminal::show_warning(warning);
    }
    for note in &outcome.notes {
        terminal::show_note(note);
    }
    if outcome.already {
        let out = request.out.display();
        terminal::show_note(&format!("{out} was prepared before: nothing to do"));
    }
    let found = progress.found.load(Ordering::Relaxed);
    if found > 0 {
        let was = if found == 1 { "was" } else { "were" };
        let found = counted(found, "image");
        terminal::show_note(&format!("{found} {was} there from an earlier attempt"));
    }
    if asked.json {
        let text = serde_json::to_string_pretty(manifest).expect("plain values become JSON");
        terminal::print(&format!("{text}\n"))?;
    } else {
        terminal::print(&summary(manifest, &request))?;
    }
    Ok(exit::DONE)
}

fn request(asked: &Prepare) -> PrepareRequest {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    PrepareRequest {
        dataset: match asked.dataset {
            DatasetToPrepare::ImagenetLt => DatasetId::ImagenetLt,
            DatasetToPrepare::PlacesLt => DatasetId::PlacesLt,
            DatasetToPrepare::Inaturalist2018 => DatasetId::Inaturalist2018,
            DatasetToPrepare::Folder | DatasetToPrepare::Unlabelled => DatasetId::Folder,
            DatasetToPrepare::Synthetic => DatasetId::Synthetic,
            DatasetToPrepare::Cifar10 => DatasetId::Cifar10,
            DatasetToPrepare::Cifar100 => DatasetId::Cifar100,
            DatasetToPrepare::FashionMnist => DatasetId::FashionMnist,
        },
        root: asked.root.clone().unwrap_or_else(|| PathBuf::from("datasets")),
        out: asked.out.clone(),
        form: match asked.form {
            Some(FormToStore::Raw) => RecordForm::Raw { side: asked.raw_side.unwrap_or(256) },
            Some(FormToStore::Jpeg) | None => RecordForm::Jpeg,
        },
        max_side: asked.max_side,
        quality: asked.quality.unwrap_or(95),
        seed: asked.seed.unwrap_or(0),
        images_per_shard: asked.images_per_shard.unwrap_or(2000),
        official: asked.official,
        decode: !asked.no_decode,
        on_unreadable: match asked.on_unreadable {
            Some(WhenUnreadable::LeaveOut) => OnUnreadable::LeaveOut,
            Some(WhenUnreadable::Fail) | None => OnUnreadable::Fail,
        },
        threads: asked.threads.map_or_else(cores, |threads| threads as usize),
        without_classes: asked.dataset == DatasetToPrepare::Unlabelled,
        imb_factor: asked.imb_factor,
        test_share: asked.test_share,
        val_per_class: asked.val_per_class.unwrap_or(0),
        test_per_class: asked.test_per_class.unwrap_or(0),
        counts: asked.counts.clone(),
        image_size: asked.image_size.unwrap_or(32),
    }
}

fn position(progress: &PrepareProgress, elapsed: Duration) -> Position {
    let [total, done, found, bytes] =
        [&progress.total, &progress.done, &progress.found, &progress.bytes]
            .map(|number| number.load(Ordering::Relaxed));
    let words = if total == 0 {
        "reading lists and folders".to_owned()
    } else {
        let rate = done.saturating_sub(found) as f64 / elapsed.as_secs_f64().max(1e-3);
        format!(
            "{} of {} images   {} MiB   {rate:.0} images/s",
            grouped(done),
            grouped(total),
            grouped(bytes >> 20)
        )
    };
    Position { done, total, words }
}

fn fault(error: &PrepareError) -> Fault {
    let exit_code = match error.blame() {
        Blame::Usage => exit::USAGE,
        Blame::Data => exit::BAD_DATA,
        Blame::Disk => exit::DISK,
    };
    Fault { hint: error.hint(), ..Fault::new(error.to_string(), exit_code) }
}

fn summary(manifest: &DatasetManifest, request: &PrepareRequest) -> String {
    let mut text = format!(
        "{} is prepared in {} ({})\n",
        manifest.dataset,
        request.out.display(),
        manifest.settings
    );
    for part in &manifest.parts {
        let _ = writeln!(
            text,
            "  {:5}  {:>9} {:6} of {}  {:>5} {:6}  {:>7} MiB",
            part.name,
            grouped(part.images),
            plural(part.images, "image"),
            counted(part.counts.iter().filter(|count| **count > 0).count() as u64, "class"),
            part.shards,
            plural(part.shards, "shard"),
            grouped(part.bytes >> 20)
        );
    }
    let duplicates = &manifest.duplicates;
    if duplicates.across_parts > 0 {
        let lie = if duplicates.across_parts == 1 { "lies" } else { "lie" };
        let images = counted(duplicates.across_parts, "image");
        let _ = writeln!(text, "  {images} {lie} in more than one split, among them:");
        for equal in &duplicates.named {
            let _ = writeln!(text, "    {}", equal.join(" = "));
        }
    }
    text
}
