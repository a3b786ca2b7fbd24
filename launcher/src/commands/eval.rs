//! `lcsl eval`: ranks measure the selected model of a run, and the launcher shows what they found.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use super::trained::{exponent, measure, open, placed};
use crate::fault::Fault;
use crate::ranks::answer::{Answer, not_understood};
use crate::report::table;
use crate::terminal;
use lcsl_run_dir::exit;
use lcsl_run_dir::result::Evaluated;

/// Arguments of `lcsl eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// Directory of the run
    pub run_dir: PathBuf,
    /// Which images to measure on
    #[arg(long, value_enum, default_value = "test")]
    pub split: EvalSplit,
    /// Average the logits of an image and its mirror image [default: as the run was configured]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub tta: Option<bool>,
    /// Normalise the classifier with this exponent first
    #[arg(long = "tau_norm", alias = "tau-norm", value_name = "TAU", value_parser = exponent)]
    pub tau_norm: Option<f64>,
    /// Write what the model says of each image to this file, as CSV
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// Where
    #[command(flatten)]
    pub placement: Placement,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Where it is measured; the figures are the same anywhere.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to measure")]
pub struct Placement {
    /// Devices of each host, as for `lcsl train` [default: the first that the run was trained on]
    #[arg(long, value_name = "cpu|0,1,…")]
    pub gpu: Option<String>,
    /// Processes [default: one for each GPU of each host]
    #[arg(long, value_name = "INTEGER")]
    pub nproc: Option<String>,
    /// Hosts and the processes on each, such as a:4,b:4 [default: those of the Slurm job, or this machine]
    #[arg(long, value_name = "TEXT")]
    pub hosts: Option<String>,
    /// Take the hosts from a file, as mpirun does
    #[arg(long, value_name = "FILE")]
    pub hostfile: Option<String>,
    /// Network interface between hosts [default: the one that leads to the others]
    #[arg(long, value_name = "TEXT")]
    pub interface: Option<String>,
    /// libtorch's threads per process [default: as `lcsl train` takes them]
    #[arg(long, value_name = "INTEGER")]
    pub threads: Option<String>,
}

/// The images of `lcsl eval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvalSplit {
    /// The test set
    Test,
    /// The images that the model was selected on
    Val,
}

/// Runs `lcsl eval` and returns the exit code, which is that of the rank.
pub fn run(asked: &Eval) -> Result<u8, Fault> {
    let config = placed(&open(&asked.run_dir)?, &asked.run_dir, &asked.placement)?;
    let split = match asked.split {
        EvalSplit::Test => "test",
        EvalSplit::Val => "val",
    };
    let tta = asked.tta.unwrap_or(config.evaluation.tta).to_string();
    let mut rest: Vec<OsString> = ["--split", split, "--tta", &tta].map(Into::into).into();
    if let Some(tau) = asked.tau_norm {
        rest.extend(["--tau-norm".into(), tau.to_string().into()]);
    }
    if let Some(path) = &asked.predictions {
        rest.extend(["--predictions".into(), path.into()]);
    }
    let answer = match measure(&config, &asked.run_dir, rest)? {
        Answer::Printed(text) => text,
        Answer::Failed(code) => return Ok(code),
    };
    let answer: serde_json::Value =
        serde_json::from_slice(&answer).map_err(|error| not_understood(&error))?;
    if asked.json {
        terminal::print(&format!("{answer}\n"))?;
    } else {
        let evaluated: Evaluated =
            serde_json::from_value(answer).map_err(|error| not_understood(&error))?;
        terminal::print(&table::of_evaluation(&evaluated, &asked.run_dir))?;
    }
    Ok(exit::DONE)
}
