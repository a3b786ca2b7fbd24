//! `lcsl export`: a rank writes the selected model of a run as safetensors or TorchScript.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::trained::{one_rank, open};
use crate::fault::Fault;
use crate::ranks::answer;

/// Arguments of `lcsl export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Directory of the run
    pub run_dir: PathBuf,
    /// File to write
    pub out: PathBuf,
    /// What kind of file
    #[arg(long, value_enum, default_value_t = ExportFormat::Safetensors)]
    pub format: ExportFormat,
    /// Write the labelling copy, whose classifier rows have norm 1
    #[arg(long, conflicts_with = "as_trained")]
    pub teacher: bool,
    /// Write the classifier as it was trained, where the run has selected a normalised one
    #[arg(long = "as_trained", alias = "as-trained")]
    pub as_trained: bool,
    /// Overwrite the file if it is there
    #[arg(long)]
    pub force: bool,
}

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// The weights under PyTorch's names, for `load_state_dict`
    Safetensors,
    /// The network itself, for `torch.jit.load`: from images (N, C, H, W) of numbers from 0 to 1 to logits
    Torchscript,
}

/// Runs `lcsl export` and returns the exit code, which is that of the rank.
pub fn run(asked: &Export) -> Result<u8, Fault> {
    let config = open(&asked.run_dir)?;
    if asked.out.exists() && !asked.force {
        return Err(Fault::usage(
            format!("{} exists already", asked.out.display()),
            "give another name, or --force to overwrite it",
        ));
    }
    let mut rest: Vec<OsString> = vec![asked.out.clone().into()];
    if asked.teacher {
        rest.push("--teacher".into());
    }
    if asked.format == ExportFormat::Torchscript {
        rest.push("--torchscript".into());
    }
    if asked.as_trained {
        rest.push("--as-trained".into());
    }
    let command = one_rank(&config, ("export", &asked.run_dir), rest)?;
    answer::run(&command)
}
