//! `lcsl-rank export`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use lcsl_run_dir::RunDir;
use lcsl_trainer::engine::evaluation::export::{self, ExportForm, ExportFormat};

use super::refusal::explain;
use super::start::prepare;

/// Arguments of `lcsl-rank export`.
#[derive(Args)]
pub(crate) struct Export {
    /// Directory of the run.
    run_dir: PathBuf,
    /// File to write.
    out: PathBuf,
    /// Write the labelling copy, whose classifier rows have norm 1.
    #[arg(long, conflicts_with = "as_trained")]
    teacher: bool,
    /// Write the classifier as it was trained.
    #[arg(long)]
    as_trained: bool,
    /// Write the network itself as TorchScript.
    #[arg(long)]
    torchscript: bool,
}

/// Exports, and returns the exit code.
pub(crate) fn run(asked: Export) -> ExitCode {
    let Export { run_dir, out, teacher, as_trained, torchscript } = asked;
    let form = match (teacher, as_trained) {
        (true, _) => ExportForm::Teacher,
        (_, true) => ExportForm::AsTrained,
        _ => ExportForm::Selected,
    };
    let format = if torchscript { ExportFormat::TorchScript } else { ExportFormat::Safetensors };
    let run_dir = RunDir::at(run_dir);
    let exported =
        prepare(&run_dir).map(|config| export::export(&run_dir, &config, &out, (form, format)));
    match exported {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => explain(&error),
        Err(code) => code,
    }
}
