//! `lcsl bench step`: how long a training step takes.

use std::ffi::OsString;

use clap::Args;
use lcsl_config::{Machine, Method, ModelName, Stop, network_listing, parse_train};
use serde::Deserialize;

use crate::fault::Fault;
use crate::ranks::answer::measure;
use crate::ranks::command;
use crate::ranks::environment::{Inherited, LaunchEnvironment};
use crate::ranks::programs::{SearchPaths, look};
use crate::terminal;
use crate::{machine, surroundings};
use lcsl_run_dir::exit;

/// Arguments of `lcsl bench step`.
#[derive(Debug, Args)]
pub struct StepBench {
    /// Network: what the zoo knows of each is in the help, as in that of `lcsl train`
    #[arg(
        long,
        help = format!("Network: {}", network_listing()),
        value_name = ModelName::WORDS.join("|"),
        default_value = "resnet32"
    )]
    pub model: String,
    /// What is minimised
    #[arg(long, value_name = Method::WORDS.join("|"), default_value = "lcsl")]
    pub method: String,
    /// Images per step over all ranks
    #[arg(long = "batch_size", alias = "batch-size", default_value_t = 64)]
    pub batch_size: usize,
    /// Height and width of an image in pixels
    #[arg(long = "image_size", alias = "image-size", default_value_t = 32)]
    pub image_size: usize,
    /// Arithmetic of the forward and backward passes
    #[arg(long, default_value = "fp32")]
    pub precision: String,
    /// Threads per rank
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Devices, as for `lcsl train`
    #[arg(long, value_name = "cpu|0,1,…", default_value = "cpu")]
    pub gpu: String,
    /// Ranks [default: one for each GPU, or 1]
    #[arg(long)]
    pub nproc: Option<usize>,
    /// Steps that are timed, after three that are not
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
    /// Wait so many milliseconds before each sum over ranks
    #[arg(long = "delay_ms", alias = "delay-ms", default_value_t = 0)]
    pub delay_ms: u64,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// What is shown of the figures.
#[derive(Debug, Deserialize)]
struct Figures {
    seconds_per_step: f64,
    seconds_min: f64,
    seconds_max: f64,
    images_per_second: f64,
    steps: u64,
}

/// Runs `lcsl bench step` and returns the exit code, which is that of the ranks.
pub fn run(asked: &StepBench) -> Result<u8, Fault> {
    let flags = flags(asked);
    let config = match parse_train(&flags, &Machine { cores: 1, ..machine::look() }) {
        Ok(command) if !command.undecided.is_empty() => {
            let hint = "time one after the other: --precision fp32, --precision bf16";
            return Err(Fault::usage("a step is timed in one precision", hint));
        }
        Ok(command) => command.config,
        Err(Stop::Problems(problems)) => {
            return Err(Fault::several("this step cannot be timed", &problems.0, exit::USAGE));
        }
        Err(Stop::Text(text)) => {
            terminal::print(&text)?;
            return Ok(exit::DONE);
        }
    };
    let (rank, libtorch) = look(&SearchPaths::here(), config.run.nproc).complete()?;
    let cores = machine::look().cores;
    let competitors = surroundings::competitors(&config, cores, machine::running_elsewhere);
    let inherited = Inherited::beside(competitors);
    let on = LaunchEnvironment::uncontrolled(&rank, &libtorch, &inherited);
    let command = command::bench_step(&config, &on, [asked.steps, asked.delay_ms], &flags);
    measure(&command, asked.json, shown)
}

/// The run whose steps are timed: drawn images, and a teacher of which every answer for a minority
/// class is admitted, so that no step is cheaper than another.
pub(super) fn flags(asked: &StepBench) -> Vec<OsString> {
    let StepBench { model, method, batch_size, image_size, precision, threads, .. } = asked;
    let mut flags = vec![
        "--dataset=synthetic".to_owned(),
        "--data_aug=crop_flip".to_owned(),
        "--policy=reference".to_owned(),
        "--lambda_init=0".to_owned(),
        format!("--gpu={}", asked.gpu),
        format!("--model={model}"),
        format!("--method={method}"),
        format!("--batch_size={batch_size}"),
        format!("--image_size={image_size}"),
        format!("--threads={threads}"),
        "--set".to_owned(),
        format!("train.precision={precision}"),
    ];
    flags.extend(asked.nproc.map(|nproc| format!("--nproc={nproc}")));
    flags.into_iter().map(OsString::from).collect()
}

fn shown(figures: &Figures) -> String {
    let Figures { seconds_per_step, seconds_min, seconds_max, images_per_second, steps } = figures;
    format!(
        "{seconds_per_step:.4} s per step (median of {steps}; {seconds_min:.4} to {seconds_max:.4}), \
         {images_per_second:.0} images per second\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timed_run_is_a_valid_one() {
        let asked = StepBench {
            model: "resnet34_cifar".to_owned(),
            method: "lcsl".to_owned(),
            batch_size: 64,
            image_size: 28,
            precision: "fp32".to_owned(),
            threads: 2,
            gpu: "cpu".to_owned(),
            nproc: Some(2),
            steps: 20,
            delay_ms: 0,
            json: true,
        };
        let parsed = parse_train(&flags(&asked), &Machine { cores: 1, gpus: None });
        let config = parsed.expect("these flags fit each other").config;
        assert_eq!((config.run.threads, config.run.nproc, config.data.image_size), (2, 2, 28));
        assert_eq!(config.model.name.to_string(), "resnet34_cifar");
        let on_gpus = StepBench { gpu: "0,1".to_owned(), nproc: None, ..asked };
        let parsed = parse_train(&flags(&on_gpus), &Machine { cores: 1, gpus: Some(2) });
        assert_eq!(parsed.expect("these too").config.run.nproc, 2);
    }

    #[test]
    fn figures_fit_on_a_line() {
        let figures = Figures {
            seconds_per_step: 0.081_24,
            seconds_min: 0.08,
            seconds_max: 0.1,
            images_per_second: 787.8,
            steps: 30,
        };
        insta::assert_snapshot!(shown(&figures), @"0.0812 s per step (median of 30; 0.0800 to 0.1000), 788 images per second");
    }
}
