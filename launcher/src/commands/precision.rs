//! `--precision auto`: which arithmetic makes a step faster here, found out before the first one.

use std::time::{Duration, Instant};

use lcsl_config::{Machine, Method, Precision, RunConfig, TrainCommand, parse_train};
use lcsl_run_dir::{RunDir, exit};
use serde::Deserialize;

use super::bench_step::{self, StepBench};
use crate::fault::Fault;
use crate::ranks::answer::{self, Answer};
use crate::ranks::command;
use crate::ranks::environment::{Inherited, LaunchEnvironment};
use crate::ranks::programs::Installed;
use crate::terminal;

const PRECISION: &str = "train.precision";

/// Steps that are timed in each.
const STEPS: u64 = 3;

/// bfloat16 has to save this part of a step, or else a run stays with what is more exact.
const WORTH: f64 = 0.05;

/// How much longer than fp32 bf16 may take until it is given up: processors without instructions for it emulate it,
/// which takes about ten times as long.
const PATIENCE: u32 = 2;

/// No step is waited for longer.
const LIMIT: Duration = Duration::from_secs(600);

/// Gives `train.precision` its value, where it is to be found out. A run that goes on stays with what it has; for a
/// run that begins, a rank makes some steps of its network on drawn images in both.
pub(super) fn find_out(command: &mut TrainCommand, installed: &Installed) -> Result<(), Fault> {
    if !command.undecided.contains(&PRECISION) {
        return Ok(());
    }
    let recorded = RunDir::at(&command.config.run.run_dir).config();
    if recorded.exists() {
        // What is wrong with it is said where the run directory is opened.
        if let Ok(stored) = lcsl_config::load(&recorded) {
            decide(command, stored.train.precision, "the run that goes on");
        }
        return Ok(());
    }
    if command.dry_run {
        let note = "train.precision is fp32 or bf16, whichever makes steps faster in a measurement \
                    before the first one";
        terminal::show_note(note);
        return Ok(());
    }
    let began = Instant::now();
    let fp32 = seconds_per_step(&command.config, Precision::Fp32, (installed, LIMIT))?;
    let limit = (began.elapsed() * PATIENCE).min(LIMIT);
    let bf16 = seconds_per_step(&command.config, Precision::Bf16, (installed, limit))?;
    let (precision, because) = faster(fp32, bf16);
    terminal::show_note(&format!("train.precision is {precision}: {because}"));
    decide(command, precision, &because);
    Ok(())
}

fn decide(command: &mut TrainCommand, precision: Precision, because: &str) {
    command.config.train.precision = precision;
    command.undecided.retain(|path| *path != PRECISION);
    command.origins.decide(PRECISION, because);
}

/// Which of fp32 and bf16 is taken, given the seconds of a step in each, and why; nothing where they were not waited
/// for.
fn faster(fp32: Option<f64>, bf16: Option<f64>) -> (Precision, String) {
    match (fp32, bf16) {
        (Some(fp32), Some(bf16)) => {
            let is_worth_it = bf16 < (1.0 - WORTH) * fp32;
            let precision = if is_worth_it { Precision::Bf16 } else { Precision::Fp32 };
            let because = format!("a step takes {fp32:.4} s in fp32 and {bf16:.4} s in bf16 here");
            (precision, because)
        }
        (Some(fp32), None) => {
            let because = format!(
                "a step takes {fp32:.4} s in fp32 here, and more than {PATIENCE} times as long in bf16"
            );
            (Precision::Fp32, because)
        }
        (None, _) => (Precision::Fp32, "steps take too long here to be measured".to_owned()),
    }
}

/// What is needed of the figures.
#[derive(Deserialize)]
struct Figures {
    seconds_per_step: f64,
}

/// Seconds of a step of one rank of the run in this arithmetic, a median; nothing where that takes longer than the
/// limit.
fn seconds_per_step(
    config: &RunConfig,
    precision: Precision,
    (installed, limit): (&Installed, Duration),
) -> Result<Option<f64>, Fault> {
    let flags = bench_step::flags(&of_one_rank(config, precision));
    let machine = Machine { cores: 1, gpus: Some(usize::MAX) };
    let cannot = |why: String| {
        let hint = "say --precision fp32 or --precision bf16";
        Fault::usage(format!("which precision is faster could not be measured: {why}"), hint)
    };
    let one = parse_train(&flags, &machine).map_err(|stop| cannot(stop.to_string()))?.config;
    let (rank, libtorch) = installed.clone().complete()?;
    let inherited = Inherited::here();
    let on = LaunchEnvironment::uncontrolled(&rank, &libtorch, &inherited);
    let command = command::bench_step(&one, &on, [STEPS, 0], &flags);
    match answer::answer_within(&command, limit)? {
        Some(Answer::Printed(text)) => serde_json::from_slice(&text)
            .map(|figures: Figures| Some(figures.seconds_per_step))
            .map_err(|error| cannot(format!("the rank's answer is not understood: {error}"))),
        Some(Answer::Failed(code)) => {
            let why = cannot(format!("a step in {precision} failed (see above)"));
            Err(Fault { exit_code: code.max(exit::USAGE), ..why })
        }
        None => Ok(None),
    }
}

/// The step of one of its ranks.
fn of_one_rank(config: &RunConfig, precision: Precision) -> StepBench {
    let ranks = (config.run.nproc * config.train.accumulate_steps).max(1);
    StepBench {
        model: config.model.name.to_string(),
        // Only the work matters, and whether there is a teacher.
        method: if config.train.method == Method::Lcsl { "lcsl" } else { "ce" }.to_owned(),
        batch_size: config.train.batch_size.div_ceil(ranks).max(2),
        image_size: config.data.image_size,
        precision: precision.to_string(),
        threads: config.run.threads,
        gpu: config.run.gpu.first().to_string(),
        nproc: Some(1),
        steps: STEPS,
        delay_ms: 0,
        json: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_has_to_be_worth_it() {
        let (precision, because) = faster(Some(2.0), Some(1.8));
        assert_eq!(precision, Precision::Bf16);
        insta::assert_snapshot!(because, @"a step takes 2.0000 s in fp32 and 1.8000 s in bf16 here");
        assert_eq!(faster(Some(2.0), Some(1.95)).0, Precision::Fp32);
        assert_eq!(faster(Some(2.0), Some(2.5)).0, Precision::Fp32);
        let (precision, because) = faster(Some(2.0), None);
        assert_eq!(precision, Precision::Fp32);
        insta::assert_snapshot!(because, @"a step takes 2.0000 s in fp32 here, and more than 2 times as long in bf16");
        assert_eq!(faster(None, None).0, Precision::Fp32);
    }

    #[test]
    fn what_is_timed_is_a_rank_of_the_run() {
        let line = "--dataset=synthetic --image_size=24 --model=resnet34_cifar --batch_size=48 --nproc=4 --threads=2 \
                    --accumulate_steps=2 --precision=auto --gpu=cpu";
        let flags: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let command = parse_train(&flags, &Machine { cores: 8, gpus: None }).unwrap();
        assert_eq!(command.undecided, [PRECISION]);
        let timed = of_one_rank(&command.config, Precision::Bf16);
        let flags = bench_step::flags(&timed);
        let one = parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap();
        assert!(one.undecided.is_empty());
        let (run, train, data) = (one.config.run, one.config.train, one.config.data);
        assert_eq!((run.nproc, run.threads, data.image_size), (1, 2, 24));
        assert_eq!((train.batch_size, train.precision), (6, Precision::Bf16));
        assert_eq!(one.config.model.name, command.config.model.name);
    }
}
