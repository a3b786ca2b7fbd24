//! The only module that reads files: the configuration named by `--config`, and a run's own.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::command::{self, Stop, TrainCommand};
use crate::dump;
use crate::hosts::Allocation;
use crate::machine::Machine;
use crate::problem::{Problem, Problems};
use crate::run_config::RunConfig;

/// A configuration is a page or two; more than this is some other file.
const BYTES_MAX: u64 = 1 << 20;

/// Turns the arguments after `lcsl train` into a checked configuration for `machine`.
///
/// Stops with every problem at once, or with the help or version text that was asked for.
///
/// ```
/// use lcsl_config::{Machine, Method, Stop, parse_train};
/// let machine = Machine { cores: 8, gpus: None };
/// let arguments = ["--dataset=fashion_mnist".into(), "--method=ce".into()];
/// let command = parse_train(&arguments, &machine).unwrap();
/// assert_eq!(command.config.train.method, Method::Ce);
/// assert_eq!(command.config.data.image_size, 28);
///
/// let stop = parse_train(&["--lr=-1".into(), "--epoch=9".into()], &machine).unwrap_err();
/// assert!(matches!(stop, Stop::Problems(problems) if problems.0.len() == 2));
/// ```
pub fn parse_train(arguments: &[OsString], machine: &Machine) -> Result<TrainCommand, Stop> {
    parse_train_in(arguments, machine, None)
}

/// The same where a scheduler has given this job several hosts, which are then those of the run unless it names others.
pub fn parse_train_in(
    arguments: &[OsString],
    machine: &Machine,
    allocation: Option<&Allocation>,
) -> Result<TrainCommand, Stop> {
    command::train_command(arguments, machine, allocation, &read)
}

/// Reads a run's `config.toml` at `path`: every key has to be there and resolved, and all problems
/// come at once.
pub fn load(path: &Path) -> Result<RunConfig, Problems> {
    let shown = path.display().to_string();
    let text = read(path).map_err(|cause| {
        let problem = Problem::new(format!("cannot read the configuration: {cause}"), &shown);
        Problems(vec![problem.hint("give the directory of a run that `lcsl train` has started")])
    })?;
    dump::from_toml(&text, &shown)
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("it is larger than {BYTES_MAX} bytes"));
    }
    lcsl_text::decode(&bytes).map(Cow::into_owned).map_err(|why| why.to_string())
}
