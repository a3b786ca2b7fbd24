//! From the arguments of `lcsl train` to a checked configuration, in order: parse, layer, resolve,
//! build, validate.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use crate::arguments::{self, Given, TrainArguments};
use crate::dump;
use crate::hosts::{Allocation, host_file};
use crate::keys;
use crate::layers::Layers;
use crate::machine::Machine;
use crate::notes;
use crate::origin::{Origin, Origins};
use crate::presets::PRESETS;
use crate::problem::{Problem, Problems};
use crate::resolve;
use crate::run_config::RunConfig;
use crate::suggest;
use crate::validate;

/// What `lcsl train` was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainCommand {
    /// Whether to show what would be done and do nothing.
    pub dry_run: bool,
    /// Whether to write the run directory with its configuration and start nothing: something else starts the ranks.
    pub write_config: bool,
    /// Whether to answer with JSON on standard output.
    pub json: bool,
    /// The checked configuration.
    pub config: RunConfig,
    /// Keys that were asked for as `"auto"` and need a measurement: `train.precision`, which is `fp32` until then, or
    /// none.
    pub undecided: Vec<&'static str>,
    /// Where each of its values came from.
    pub origins: Origins,
    /// Whole sentences that explain settings which are accepted, but do less than one might think;
    /// often empty.
    pub notes: Vec<String>,
}

/// Why there is no configuration to run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Help or version was asked for: print this text, which ends with a line break, and end with
    /// 0.
    Text(String),
    /// The configuration is wrong: show this and end with 2.
    Problems(Problems),
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Problems(problems) => problems.fmt(formatter),
        }
    }
}

impl std::error::Error for Stop {}

/// The pure middle of [`crate::parse_train`]: `read` gives the text of a file, or says why it
/// cannot.
pub fn train_command(
    arguments: &[OsString],
    machine: &Machine,
    allocation: Option<&Allocation>,
    read: &dyn Fn(&Path) -> Result<String, String>,
) -> Result<TrainCommand, Stop> {
    let mut parsed = arguments::parse(arguments).map_err(Stop::Text)?;
    let mut layers = lay(&parsed, read);
    let undecided = ["train.precision"].into_iter().filter(|path| layers.is_auto(path)).collect();
    resolve::resolve(&mut layers, machine, allocation);
    let config = dump::build(&layers);
    let origins = layers.origins();
    let mut problems = std::mem::take(&mut parsed.problems);
    problems.append(&mut layers.problems);
    if !layers.incomplete {
        problems.extend(validate::between_keys(&config, &origins, &layers.bad));
    }
    let mut notes = notes::notes(&config, &origins, &parsed);
    if !layers.bad.contains("run.gpu") {
        match validate::devices(&config, &origins, machine) {
            // What starts nothing may be for another machine.
            Some(absent) if parsed.dry_run || parsed.write_config => {
                notes.push(format!("{}, so this is for another machine", absent.what));
            }
            absent => problems.extend(absent),
        }
    }
    if !problems.is_empty() {
        return Err(Stop::Problems(Problems(problems)));
    }
    let (dry_run, write_config, json) = (parsed.dry_run, parsed.write_config, parsed.json);
    Ok(TrainCommand { dry_run, write_config, json, config, undecided, origins, notes })
}

/// Defaults, then configurations, then flags, each in command-line order.
fn lay(parsed: &TrainArguments, read: &dyn Fn(&Path) -> Result<String, String>) -> Layers {
    let mut layers = Layers::of_defaults();
    debug_assert!(layers.problems.is_empty(), "default.toml: {:?}", layers.problems);
    for name in &parsed.configs {
        lay_config(&mut layers, name, read);
    }
    for Given { name, text } in &parsed.given {
        match keys::find_flag(name) {
            Some(key) => layers.lay_text(key, text, Origin::Flag(name.clone())),
            None => layers.lay_assignment(text),
        }
    }
    if let Some(path) = &parsed.host_file {
        lay_host_file(&mut layers, path, read);
    }
    layers
}

/// The hosts of a file, over those of a configuration as any flag is, but not over those of another flag.
fn lay_host_file(layers: &mut Layers, path: &str, read: &dyn Fn(&Path) -> Result<String, String>) {
    let place = "flag --hostfile";
    let earlier = layers
        .origin("run.hosts")
        .filter(|origin| matches!(origin, Origin::Flag(_) | Origin::Set(_)));
    let problem = match read(Path::new(path)).map(|text| host_file(&text)) {
        _ if earlier.is_some() => {
            let other = earlier.map(ToString::to_string).unwrap_or_default();
            Problem::new(format!("hosts are given twice: by --hostfile and by {other}"), place)
                .hint("leave one of them out")
        }
        Ok(Ok(hosts)) => {
            let key = keys::find("run.hosts").expect("run.hosts is in the table of keys");
            return layers.lay_text(key, &hosts, Origin::Flag("hostfile".into()));
        }
        Ok(Err(wrong)) => Problem::new(
            format!("{path} cannot be used as a list of hosts: {}", wrong.join("; ")),
            place,
        )
        .hint("write a host in each line, as in: node1 slots=4"),
        Err(cause) => Problem::new(format!("cannot read the list of hosts {path}: {cause}"), place)
            .hint("give the path of a file with a host in each line, as in: node1 slots=4"),
    };
    layers.bad.insert("run.hosts");
    layers.problems.push(problem);
}

fn lay_config(layers: &mut Layers, name: &str, read: &dyn Fn(&Path) -> Result<String, String>) {
    if let Some((_, text)) = PRESETS.iter().find(|(preset, _)| *preset == name) {
        return layers.lay_toml(text, &|line| Origin::Preset { name: name.into(), line });
    }
    match read(Path::new(name)) {
        Ok(text) => layers.lay_toml(&text, &|line| Origin::File { path: name.into(), line }),
        Err(cause) => {
            layers.incomplete = true;
            let presets = PRESETS.iter().map(|(preset, _)| *preset);
            let hint = match suggest::nearest(name, presets) {
                Some(near) => format!("did you mean the preset {near}?"),
                None => "give the path of a TOML file, or a preset: `lcsl train --help` names them"
                    .to_owned(),
            };
            let what = format!("cannot read the configuration \"{name}\": {cause}");
            layers.problems.push(Problem::new(what, "flag --config").hint(hint));
        }
    }
}
