//! `lcsl predict`: a rank says what the selected model of a run makes of pictures.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;

use clap::{ArgAction, Args};
use lcsl_config::Devices;
use lcsl_run_dir::exit;
use lcsl_run_dir::result::{Predicted, RefusedImage};

use super::trained::{exponent, one_rank, open};
use crate::fault::Fault;
use crate::ranks::answer::{self, Answer, not_understood};
use crate::report::csv::field;
use crate::terminal;

/// Of the pictures that cannot be read, so many are named; `--json` has all.
const SHOWN_MAX: usize = 20;

/// Arguments of `lcsl predict`.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints comma-separated values, a line for each of the likeliest classes of each picture:\n\n  \
    image,class,name,probability\n\n\
    Pictures may be of any size: they are cut and resized as test images are. The dataset need not be there once \
    the run has ended."
)]
pub struct Predict {
    /// Directory of the run
    pub run_dir: PathBuf,
    /// Pictures, and folders of them: JPEG, PNG, GIF, WebP, BMP, TIFF, PPM, PGM
    #[arg(required = true, value_name = "IMAGE|FOLDER")]
    pub pictures: Vec<PathBuf>,
    /// How many classes of each picture to tell
    #[arg(long, value_name = "INTEGER", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,
    /// Average the logits of a picture and its mirror image [default: as the run was configured]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub tta: Option<bool>,
    /// Normalise the classifier with this exponent first
    #[arg(long = "tau_norm", alias = "tau-norm", value_name = "TAU", value_parser = exponent)]
    pub tau_norm: Option<f64>,
    /// Divide logits by this [default: what the run has found best for its validation images, or 1 with
    /// another exponent]
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// The device [default: the first that the run was trained on]
    #[arg(long, value_name = "cpu|0|1|…")]
    pub gpu: Option<Devices>,
    /// libtorch's threads [default: one for each core]
    #[arg(long, value_name = "INTEGER", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs `lcsl predict` and returns the exit code: that of bad data where a picture could not be read.
pub fn run(asked: &Predict) -> Result<u8, Fault> {
    let config = open(&asked.run_dir)?;
    let device = device(asked.gpu.as_ref(), &config.run.gpu)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = asked.threads.map_or(cores, |threads| threads as usize);
    let mut rest: Vec<OsString> = [
        format!("--top={}", asked.top),
        format!("--tta={}", asked.tta.unwrap_or(config.evaluation.tta)),
        format!("--gpu={device}"),
        format!("--threads={threads}"),
    ]
    .map(OsString::from)
    .into();
    rest.extend(asked.tau_norm.map(|tau| OsString::from(format!("--tau-norm={tau}"))));
    rest.extend(asked.temperature.map(|it| OsString::from(format!("--temperature={it}"))));
    rest.push("--".into());
    rest.extend(asked.pictures.iter().map(OsString::from));
    let command = one_rank(&config, ("predict", &asked.run_dir), rest)?;
    let answer = match answer::answer(&command)? {
        Answer::Printed(text) => text,
        Answer::Failed(code) => return Ok(code),
    };
    let predicted: Predicted =
        serde_json::from_slice(&answer).map_err(|error| not_understood(&error))?;
    if asked.json {
        let text = serde_json::to_string(&predicted).map_err(|error| not_understood(&error))?;
        terminal::print(&format!("{text}\n"))?;
    } else {
        terminal::print(&lines(&predicted))?;
    }
    let Predicted { images, refused } = predicted;
    if refused.is_empty() {
        return Ok(exit::DONE);
    }
    terminal::show_fault(&Fault::new(refusals(&refused, images.len()), exit::BAD_DATA));
    Ok(exit::BAD_DATA)
}

/// The one device that is asked for, or the first of those that the run was trained on.
fn device(asked: Option<&Devices>, trained_on: &Devices) -> Result<String, Fault> {
    match asked {
        Some(Devices::Gpus(ordinals)) if ordinals.len() > 1 => Err(Fault::usage(
            format!("`lcsl predict` computes on one device, and --gpu lists {}", ordinals.len()),
            "name one of them, such as --gpu=0",
        )),
        _ => Ok(asked.unwrap_or(trained_on).first().to_string()),
    }
}

/// A number above 0.
fn temperature(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    let fits = value.is_finite() && value > 0.0;
    fits.then_some(value).ok_or_else(|| "it is not a number above 0".to_owned())
}

/// A line for each class of each picture, under a header.
fn lines(predicted: &Predicted) -> String {
    let mut text = String::from("image,class,name,probability\n");
    for image in &predicted.images {
        let path = field(&image.image);
        for told in &image.classes {
            let (class, name) = (told.class, field(&told.name));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{path},{class},{name},{:.6}", told.probability);
        }
    }
    text
}

fn refusals(refused: &[RefusedImage], read: usize) -> String {
    let count = refused.len();
    let mut text = format!("{count} of {} pictures cannot be used", count + read);
    for RefusedImage { image, why } in refused.iter().take(SHOWN_MAX) {
        let _ = write!(text, "\n  {image} {why}");
    }
    if count > SHOWN_MAX {
        let _ = write!(text, "\n  and {} more, which --json lists", count - SHOWN_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use lcsl_run_dir::result::{ClassProbability, PredictedImage};

    use super::*;

    #[test]
    fn a_line_is_told_for_each_class_and_names_are_quoted() {
        let told = |class, name: &str, probability| ClassProbability {
            class,
            name: name.to_owned(),
            probability,
        };
        let classes = vec![told(3, "tench, Tinca", 0.75), told(0, "a \"cat\"", 0.123_456_7)];
        let images = vec![PredictedImage { image: "a b.png".to_owned(), classes }];
        insta::assert_snapshot!(lines(&Predicted { images, refused: Vec::new() }), @r#"
        image,class,name,probability
        a b.png,3,"tench, Tinca",0.750000
        a b.png,0,"a ""cat""",0.123457
        "#);
    }

    #[test]
    fn there_is_one_device() {
        let two: Devices = "0,2".parse().unwrap();
        assert_eq!(device(None, &two).unwrap(), "0");
        assert_eq!(device(Some(&Devices::Cpu), &two).unwrap(), "cpu");
        // Story: of several GPUs that were asked for, the first was taken without a word.
        let fault = device(Some(&two), &Devices::Cpu).unwrap_err();
        assert!(fault.what.ends_with("on one device, and --gpu lists 2"), "{fault}");
    }

    #[test]
    fn of_many_pictures_that_cannot_be_read_some_are_named() {
        let refused: Vec<RefusedImage> = (0..22)
            .map(|at| RefusedImage { image: format!("{at}.png"), why: "is empty".to_owned() })
            .collect();
        let text = refusals(&refused, 3);
        assert!(text.starts_with("22 of 25 pictures cannot be used\n  0.png is empty\n"), "{text}");
        assert!(text.ends_with("\n  19.png is empty\n  and 2 more, which --json lists"), "{text}");
    }
}
