//! A run that was trained, read by ranks that answer once: its configuration, and the command for these ranks.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use lcsl_config::{RunConfig, Stop, parse_train_in};

use super::eval::Placement;
use crate::fault::Fault;
use crate::machine;
use crate::ranks::allocation;
use crate::ranks::answer::{self, Answer};
use crate::ranks::command::{self, LaunchCommand};
use crate::ranks::environment::{Inherited, LaunchEnvironment};
use crate::ranks::programs::{SearchPaths, look};
use crate::ranks::watched;
use crate::surroundings;
use crate::terminal;
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

/// The configuration of a run that is measured where `asked` says, whatever it was trained on; checked as that of
/// `lcsl train` is.
pub(super) fn placed(
    config: &RunConfig,
    run_dir: &Path,
    asked: &Placement,
) -> Result<RunConfig, Fault> {
    let (allocation, unlisted) = match allocation::look(&surroundings::variable) {
        Ok(allocation) => (allocation, None),
        Err(why) => (None, Some(why)),
    };
    let flags = flags(config, run_dir, asked);
    let parsed = parse_train_in(&flags, &machine::look(), allocation.as_ref());
    let placed = parsed.map_err(|stop| match stop {
        Stop::Problems(problems) => Fault::several(&problems.title(), &problems.0, exit::USAGE),
        Stop::Text(text) => Fault::new(text, exit::USAGE),
    })?;
    if let Some(why) = unlisted.filter(|_| placed.config.run.hosts.is_empty()) {
        terminal::show_note(&why);
    }
    Ok(placed.config)
}

/// What the run was trained with, but for where: that is asked for, or found out anew.
fn flags(config: &RunConfig, run_dir: &Path, asked: &Placement) -> Vec<OsString> {
    let gpu = asked.gpu.clone().unwrap_or_else(|| config.run.gpu.first().to_string());
    let mut flags: Vec<OsString> = vec!["--config".into(), RunDir::at(run_dir).config().into()];
    flags.extend(["--deterministic=false", "--sync_bn=false", "--min_ranks=0"].map(OsString::from));
    // Batches of training are not cut here.
    let anew = ["nproc", "virtual_ranks", "threads", "hosts", "start_limit_seconds"];
    for key in anew.iter().filter(|key| **key != "hosts" || asked.hostfile.is_none()) {
        flags.extend(["--set".into(), format!("run.{key}=auto").into()]);
    }
    let given = [
        ("gpu", Some(&gpu)),
        ("nproc", asked.nproc.as_ref()),
        ("hosts", asked.hosts.as_ref()),
        ("hostfile", asked.hostfile.as_ref()),
        ("interface", asked.interface.as_ref()),
        ("threads", asked.threads.as_ref()),
    ];
    for (name, value) in given {
        flags.extend(value.map(|value| OsString::from(format!("--{name}={value}"))));
    }
    flags
}

/// What the ranks answer that measure a run; `rest` is what follows the run directory. One rank of this host says
/// itself what is wrong; several wait for each other, and are watched.
pub(super) fn measure(
    config: &RunConfig,
    run_dir: &Path,
    rest: Vec<OsString>,
) -> Result<Answer, Fault> {
    let (rank, libtorch) = look(&SearchPaths::here(), config.run.nproc).complete()?;
    let command = |on: &LaunchEnvironment<'_>| command::eval(config, on, run_dir, rest);
    if config.run.nproc == 1 && config.run.hosts.is_empty() {
        let inherited = Inherited::here();
        let on = LaunchEnvironment::uncontrolled(&rank, &libtorch, &inherited);
        return answer::answer(&command(&on));
    }
    watched::answer(config, (&rank, &libtorch), command)
}

/// The command of the one rank that exports a run or uses its model, as `name` says; `rest` is what follows the run
/// directory.
pub(super) fn one_rank(
    config: &RunConfig,
    (name, run_dir): (&str, &Path),
    rest: Vec<OsString>,
) -> Result<LaunchCommand, Fault> {
    let (rank, libtorch) = look(&SearchPaths::here(), 1).complete()?;
    let inherited = Inherited::here();
    let on = LaunchEnvironment::uncontrolled(&rank, &libtorch, &inherited);
    Ok(command::one_rank(config, &on, (name, run_dir), rest))
}

/// The exponent of a normalisation: a number that is not below 0.
pub(super) fn exponent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    let fits = value.is_finite() && value >= 0.0;
    fits.then_some(value).ok_or_else(|| "it is not a number from 0 on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: with an exponent that is no number, every logit was none either, and every image of the first class.
    #[test]
    fn an_exponent_is_a_number_from_0_on() {
        assert_eq!(exponent("1.9"), Ok(1.9));
        assert_eq!(exponent("0"), Ok(0.0));
        for text in ["-1", "nan", "inf", "x", ""] {
            assert!(exponent(text).is_err(), "{text}");
        }
    }
}
