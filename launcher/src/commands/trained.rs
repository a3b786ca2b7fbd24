//! A run that was trained, read by a rank alone: its configuration, and the command for that rank.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use lcsl_config::RunConfig;

use crate::fault::Fault;
use crate::ranks::command::{self, LaunchCommand};
use crate::ranks::environment::{Inherited, LaunchEnvironment};
use crate::ranks::programs::{SearchPaths, look};
use lcsl_run_dir::{RunDir, exit, names};

/// The configuration of a run that has something to look at.
pub(super) fn open(run_dir: &Path) -> Result<RunConfig, Fault> {
    let at = RunDir::at(run_dir);
    if !at.config().exists() {
        return Err(Fault::usage(
            format!("{} is no run directory: it has no config.toml", run_dir.display()),
            "give the directory of a run that `lcsl train` has started",
        ));
    }
    let config = lcsl_config::load(&at.config()).map_err(|problems| {
        let title = format!("{} holds a configuration that cannot be used", run_dir.display());
        Fault::several(&title, &problems.0, exit::USAGE)
    })?;
    let is_checkpoint =
        |entry: fs::DirEntry| names::is_checkpoint(&entry.file_name().to_string_lossy());
    let mut entries = fs::read_dir(at.checkpoints()).into_iter().flatten().flatten();
    if !entries.any(is_checkpoint) {
        return Err(Fault::usage(
            format!("the run in {} has no checkpoint yet", run_dir.display()),
            "the first one is saved after the first epoch",
        ));
    }
    Ok(config)
}

/// The command of the one rank that reads a run: `verb` is `eval` or `export`, `rest` what follows the
/// run directory.
pub(super) fn prepare(
    config: &RunConfig,
    verb: &str,
    run_dir: &Path,
    rest: Vec<OsString>,
) -> Result<LaunchCommand, Fault> {
    let (rank, libtorch) = look(&SearchPaths::here(), 1).complete()?;
    let inherited = Inherited::here();
    let on = LaunchEnvironment::uncontrolled(&rank, &libtorch, &inherited);
    Ok(command::read_run(config, &on, verb, run_dir, rest))
}
