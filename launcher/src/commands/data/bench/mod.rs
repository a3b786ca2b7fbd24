//! `lcsl data bench`: how fast images come out of the loader that training uses.

mod dump;
mod measure;

use std::path::{Path, PathBuf};

use clap::Args;
use lcsl_config::{DataAugmentation, DatasetName};
use lcsl_data::augment::Recipe;
use lcsl_data::augment::recipes::{photographs, small};
use lcsl_data::loader::{OpenedImages, opened};
use serde_json::json;

use super::fault::bad_data;
use crate::fault::Fault;
use crate::terminal;
use lcsl_run_dir::exit;
use measure::Measured;

/// Side of the square that comes out of pictures, unless another is asked for.
const SIDE: u16 = 224;
/// Threads that decode pictures, unless others are asked for.
const THREADS: u16 = 2;

/// What is made of the images.
#[derive(Debug, Clone, Copy)]
struct Setting {
    threads: usize,
    batch: u64,
    side: usize,
    epochs: u64,
    seed: u64,
    /// What `--data_aug` calls the recipe, and the recipe.
    recipe: (&'static str, Recipe),
}

/// Arguments of `lcsl data bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Prepared dataset, folder of indexed shards, or folder of JPEG files
    pub path: PathBuf,
    /// Threads that decode [default: 2; arrays are copied by the loop itself]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Images of a batch
    #[arg(long = "batch_size", alias = "batch-size", value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch_size: u32,
    /// Side in pixels of the squares that come out [default: 224; that of the arrays]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub size: Option<u16>,
    /// Augmentation recipe, as training has it for such images
    #[arg(long = "data_aug", alias = "data-aug", value_name = "RECIPE", default_value = "crop_flip",
          value_parser = clap::builder::PossibleValuesParser::new(DataAugmentation::WORDS))]
    pub data_aug: String,
    /// Passes over all images that are measured, after one that is not
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub epochs: u16,
    /// Seed of the order and of the windows
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write the first N images as they come out to DIR, with where they come from
    #[arg(long, num_args = 2, value_names = ["N", "DIR"])]
    pub dump: Option<Vec<String>>,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs `lcsl data bench` and returns the exit code.
pub(super) fn run(asked: &Bench) -> Result<u8, Fault> {
    let images = opened::open(&asked.path).map_err(|error| bad_data(&error))?;
    let setting = setting(asked, &images)?;
    if let Some(dump) = &asked.dump {
        let (count, folder) = (number(&dump[0])?, Path::new(&dump[1]));
        dump::write(&images, setting, count, folder)?;
    }
    let (count, kind) = match &images {
        OpenedImages::Pictures(source) => (source.len() as u64, "pictures"),
        OpenedImages::Arrays(set) => (set.len() as u64, "arrays"),
    };
    let measured = match images {
        OpenedImages::Pictures(source) => measure::pictures(source, setting),
        OpenedImages::Arrays(set) => measure::arrays(set, setting),
    }
    .map_err(|error| bad_data(&error))?;
    terminal::print(&if asked.json {
        format!("{}\n", answer(&measured, setting, count, kind))
    } else {
        shown(&measured, setting, count, kind)
    })?;
    Ok(exit::DONE)
}

/// What is asked for, or usual with these images.
fn setting(asked: &Bench, images: &OpenedImages) -> Result<Setting, Fault> {
    let (threads, side) = match images {
        OpenedImages::Pictures(_) => (asked.threads.unwrap_or(THREADS), asked.size.unwrap_or(SIDE)),
        OpenedImages::Arrays(set) => {
            let own = set.shape().height;
            if asked.threads.is_some_and(|threads| threads > 1)
                || asked.size.is_some_and(|size| usize::from(size) != own)
            {
                return Err(Fault::usage(
                    format!("{} holds arrays of images of {own} pixels", asked.path.display()),
                    "leave --threads and --size out: the training loop copies such images itself, \
                     as they are",
                ));
            }
            (1, own as u16)
        }
    };
    Ok(Setting {
        recipe: recipe(asked, images)?,
        threads: usize::from(threads),
        batch: u64::from(asked.batch_size),
        side: usize::from(side),
        epochs: u64::from(asked.epochs),
        seed: asked.seed,
    })
}

/// The recipe that is asked for, as training has it for such images.
fn recipe(asked: &Bench, images: &OpenedImages) -> Result<(&'static str, Recipe), Fault> {
    let (kind, like, named): (_, _, fn(&str) -> Option<Recipe>) = match images {
        OpenedImages::Pictures(_) => ("pictures", DatasetName::Folder, photographs::named),
        OpenedImages::Arrays(_) => ("arrays of images", DatasetName::Cifar10, small::named),
    };
    let name: DataAugmentation = asked.data_aug.parse().expect("the flag takes only these words");
    let recipe = named(name.word()).ok_or_else(|| {
        let words: Vec<&str> = like.recipes().iter().map(|recipe| recipe.word()).collect();
        Fault::usage(
            format!("{} holds {kind}, for which there is no recipe {name}", asked.path.display()),
            format!("--data_aug may be {}", words.join(", ")),
        )
    })?;
    Ok((name.word(), recipe))
}

fn number(text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_| {
        let hint = "say --dump 16 DIR for the first 16";
        Fault::usage(format!("--dump: {text} is no number of images"), hint)
    })
}

fn answer(measured: &Measured, setting: Setting, images: u64, kind: &str) -> serde_json::Value {
    json!({
        "images_per_second": measured.median(),
        "passes": measured.passes,
        "private_bytes": measured.private_bytes,
        "wait_seconds": measured.waited.as_secs_f64(),
        "images": images,
        "kind": kind,
        "threads": setting.threads,
        "batch_size": setting.batch,
        "size": setting.side,
        "data_aug": setting.recipe.0,
    })
}

fn shown(measured: &Measured, setting: Setting, images: u64, kind: &str) -> String {
    let Setting { threads, batch, side, recipe: (recipe, _), .. } = setting;
    let (slowest, fastest) = measured.spread();
    let passes = measured.passes.len();
    let memory = measured.private_bytes.last().map_or(String::new(), |bytes| {
        format!("; {:.0} MiB of memory of its own", *bytes as f64 / f64::from(1 << 20))
    });
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "{:.0} images/s: {images} {kind} to {side}×{side} pixels, {recipe}, {}, batches of {batch} \
         ({slowest:.0} to {fastest:.0} in {}){memory}\n",
        measured.median(),
        plural(threads, "thread"),
        if passes == 1 { "1 pass".to_owned() } else { format!("{passes} passes") },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn figures_fit_in_a_sentence() {
        let measured = Measured {
            passes: vec![2400.4, 2300.0, 2500.0],
            private_bytes: vec![1 << 20, 40 << 20],
            waited: Duration::from_millis(2),
        };
        let recipe = ("crop_flip", photographs::CROP_FLIP);
        let setting = Setting { threads: 2, batch: 64, side: 224, epochs: 3, seed: 1, recipe };
        insta::assert_snapshot!(shown(&measured, setting, 2000, "pictures"), @"2400 images/s: 2000 pictures to 224×224 pixels, crop_flip, 2 threads, batches of 64 (2300 to 2500 in 3 passes); 40 MiB of memory of its own");
        let one =
            Measured { passes: vec![812_345.6], private_bytes: Vec::new(), waited: Duration::ZERO };
        let recipe = ("autoaug", small::AUTOAUG);
        let setting = Setting { threads: 1, side: 32, recipe, ..setting };
        insta::assert_snapshot!(shown(&one, setting, 50_000, "arrays"), @"812346 images/s: 50000 arrays to 32×32 pixels, autoaug, 1 thread, batches of 64 (812346 to 812346 in 1 pass)");
    }
}
