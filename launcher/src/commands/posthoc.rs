//! `lcsl posthoc`: a stage after a run, as a run of its own: it begins with the model that the run has selected, and
//! trains nothing but its classifier, or nothing at all.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use lcsl_run_dir::{RunDir, exit, names};

use super::train;
use super::trained::{one_rank, open};
use super::with_training::{self, Asked};
use crate::fault::Fault;
use crate::ranks::answer;

/// What follows a run, beside the flags of `lcsl train`.
#[derive(Debug, Args)]
pub struct Posthoc {
    /// Directory of the run
    #[arg(value_name = "RUN_DIR")]
    of: PathBuf,
    /// What is done with its selected model
    #[arg(long, value_enum, help_heading = "Stage")]
    stage: PosthocStage,
    /// Where the new run goes [default: the directory of the run with the name of the stage behind it]
    #[arg(long = "run_dir", alias = "run-dir", value_name = "PATH", help_heading = "Stage")]
    run_dir: Option<PathBuf>,
}

/// The stages of `lcsl posthoc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum PosthocStage {
    /// A new classifier, trained on classes that are drawn equally often
    Crt,
    /// The lengths of the classifier's rows, trained on the same
    Lws,
    /// A new classifier, trained by balanced softmax
    BalancedRefit,
    /// The exponent of tau-normalisation that is best on the validation images; nothing is trained
    Tau,
    /// Tau * ln n taken from the logit of each class of n training images, with the tau that is best on the validation
    /// images; nothing is trained
    LogitAdjustment,
}

impl PosthocStage {
    /// Its word, and the refit that it is.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Crt => ("crt", "crt"),
            Self::Lws => ("lws", "lws"),
            Self::BalancedRefit => ("balanced_refit", "balanced"),
            Self::Tau => ("tau", "none"),
            Self::LogitAdjustment => ("logit_adjustment", "none"),
        }
    }
}

const ABOUT: &str = "Train the classifier of a run's selected model once more, as a run of its own";

/// `lcsl posthoc` as a command: its own flags, and those of `lcsl train` given as `train`.
pub fn command(train: &clap::Command) -> clap::Command {
    let without = ["config", "init", "epochs", "refit", "trainable", "unlabelled"];
    with_training::command::<Posthoc>(("posthoc", ABOUT), train, &without)
}

/// Runs `lcsl posthoc` with the arguments behind that word, and returns the exit code. The same command goes on where
/// it was stopped.
pub fn run(arguments: &[OsString]) -> Result<u8, Fault> {
    let (asked, theirs) = match with_training::parse::<Posthoc>(command, arguments)? {
        Asked::For(asked, theirs) => (asked, theirs),
        Asked::Answered(code) => return Ok(code),
    };
    let title = format!("--stage {} cannot be done like that", asked.stage.words().0);
    with_training::refuse(&title, &FIXED, &theirs)?;
    let config = open(&asked.of)?;
    let to = asked.run_dir.clone().unwrap_or_else(|| beside(&asked.of, asked.stage));
    let weights = to.join(names::INIT);
    let only_plans = theirs.iter().any(|it| it.to_string_lossy().replace('-', "_") == "__dry_run");
    // A run that is there already goes on, or is another one, which is left as it is and named.
    let is_new = !weights.exists() && !RunDir::at(&to).config().exists();
    if is_new && !only_plans {
        fs::create_dir_all(&to).map_err(|error| Fault::disk("create", &to, &error))?;
        let rest = vec![weights.clone().into(), "--as-trained".into()];
        let exported = answer::run(&one_rank(&config, ("export", &asked.of), rest)?)?;
        if exported != exit::DONE {
            return Ok(exported);
        }
    }
    train::run(&flags(&asked, &to, &weights, &theirs))
}

/// What a stage has to say itself, with the reason: with another value it would be no stage after that run.
const FIXED: [(&str, &str); 6] = [
    ("train.epochs", "a stage trains nothing but the classifier; --refit_epochs are its epochs"),
    ("refit.method", "--stage says what is trained"),
    ("model.init", "a stage begins with the weights of the run"),
    ("train.trainable", "a stage trains nothing but the classifier"),
    ("data.unlabelled", "nobody labels images in a stage"),
    ("--config", "a stage has the configuration of the run"),
];

/// The directory of the new run: a neighbour of the old one.
fn beside(run_dir: &Path, stage: PosthocStage) -> PathBuf {
    let whole = fs::canonicalize(run_dir).unwrap_or_else(|_| run_dir.to_owned());
    let mut name = whole.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{}", stage.words().0));
    run_dir.parent().unwrap_or(Path::new("")).join(name)
}

/// The flags of `lcsl train` for it: what the run was trained with, but for what is trained now.
fn flags(asked: &Posthoc, to: &Path, weights: &Path, theirs: &[OsString]) -> Vec<OsString> {
    let (_, refit) = asked.stage.words();
    let mut flags = vec!["--config".into(), RunDir::at(&asked.of).config().into()];
    flags.extend([with_training::flag("--run_dir=", to), with_training::flag("--init=", weights)]);
    let adjusts = asked.stage == PosthocStage::LogitAdjustment;
    let own = [
        "--epochs=0",
        &format!("--refit={refit}"),
        &format!("--set=evaluation.tau_sweep={}", asked.stage == PosthocStage::Tau),
        &format!("--set=evaluation.adjustment_sweep={adjusts}"),
        "--set=train.trainable=all",
        "--set=train.start_epoch=1",
        "--max_steps=0",
        "--unlabelled=none",
        "--resume=auto",
    ];
    let key = |flag: &OsString| {
        let text = flag.to_string_lossy().replace('-', "_");
        text.split('=').next().unwrap_or_default().to_owned()
    };
    let given: Vec<String> = theirs.iter().map(key).collect();
    let own = own.map(OsString::from).into_iter();
    flags.extend(own.filter(|flag| key(flag) == "__set" || !given.contains(&key(flag))));
    flags.extend_from_slice(theirs);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_is_trained_on_as_it_was_but_for_what_is_trained_now() {
        let asked =
            Posthoc { of: "runs/a".into(), stage: PosthocStage::BalancedRefit, run_dir: None };
        let to = beside(&asked.of, asked.stage);
        assert_eq!(to, Path::new("runs/a-balanced_refit"));
        let theirs = ["--resume", "never", "--gpu=cpu"].map(OsString::from);
        let flags = flags(&asked, &to, &to.join("init.safetensors"), &theirs);
        let text: Vec<_> = flags.iter().map(|flag| flag.to_string_lossy()).collect();
        insta::assert_snapshot!(
            text.join("\n"),
            @"
        --config
        runs/a/config.toml
        --run_dir=runs/a-balanced_refit
        --init=runs/a-balanced_refit/init.safetensors
        --epochs=0
        --refit=balanced
        --set=evaluation.tau_sweep=false
        --set=evaluation.adjustment_sweep=false
        --set=train.trainable=all
        --set=train.start_epoch=1
        --max_steps=0
        --unlabelled=none
        --resume
        never
        --gpu=cpu
        "
        );
    }
}
