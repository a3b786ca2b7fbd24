//! `RUN_DIR/config.toml`: the merged configuration, written beside the results and read back by
//! every rank.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::keys::{ADDED, KEYS, Key};
use crate::layers::Layers;
use crate::origin::{Origin, Origins};
use crate::presets::DEFAULT;
use crate::problem::{Problem, Problems};
use crate::run_config::RunConfig;
use crate::validate;

/// Writes every key with its value and, where `origins` knows it, where the value came from.
/// [`from_toml`] reads the text back as the same configuration.
///
/// ```
/// use lcsl_config::{Machine, from_toml, parse_train, to_toml};
/// let machine = Machine { cores: 2, gpus: None };
/// let command = parse_train(&["--lr=0.1".into()], &machine).unwrap();
/// let text = to_toml(&command.config, &command.origins);
/// assert!(text.contains("lr = 0.1  # from: flag --lr\n"));
/// assert_eq!(from_toml(&text, "config.toml").unwrap(), command.config);
/// ```
pub fn to_toml(config: &RunConfig, origins: &Origins) -> String {
    let table = as_table(config);
    let mut text =
        String::from("# The merged configuration of this run, with the origin of each value.\n");
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            let _ = write!(text, "\n[{section}]\n");
        }
        let _ = write!(text, "{} = {}", key.name(), value_in(&table, key));
        match origins.get(key.path) {
            // A path may hold a line break, which would end the comment.
            Some(origin) => {
                let _ = writeln!(
                    text,
                    "  # from: {}",
                    origin.to_string().replace(char::is_control, "?")
                );
            }
            None => text.push('\n'),
        }
    }
    text
}

/// One key whose value differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key, such as `train.lr`.
    pub path: &'static str,
    /// The first configuration's value, as TOML writes it.
    pub before: String,
    /// The second configuration's value, as TOML writes it.
    pub after: String,
}

/// The keys whose values differ, in the order of the table of keys; empty when the configurations
/// are equal.
///
/// A resumed run compares its stored configuration with the one asked for, and decides itself which
/// keys may differ.
pub fn differences(before: &RunConfig, after: &RunConfig) -> Vec<Difference> {
    let compared = settings(before).into_iter().zip(settings(after));
    let unequal = compared.filter(|((_, before), (_, after))| before != after);
    unequal.map(|((path, before), (_, after))| Difference { path, before, after }).collect()
}

/// Every key with its value as TOML writes it, in the order of the table of keys.
pub fn settings(config: &RunConfig) -> Vec<(&'static str, String)> {
    let table = as_table(config);
    KEYS.iter().map(|key| (key.path, value_in(&table, key).to_string())).collect()
}

/// As [`settings`], without the keys that came after the first runs and have the default that these had: a run has the
/// same ones under every later version, which may list more keys.
///
/// ```
/// use lcsl_config::{Machine, lasting_settings, parse_train};
/// let of = |flags: &[std::ffi::OsString]| {
///     let command = parse_train(flags, &Machine { cores: 2, gpus: None }).unwrap();
///     lasting_settings(&command.config)
/// };
/// assert!(of(&[]).iter().any(|(path, _)| *path == "train.lr"));
/// assert!(!of(&[]).iter().any(|(path, _)| *path == "train.sam_rho"));
/// assert!(of(&["--set=train.sam_rho=0.05".into()]).contains(&("train.sam_rho", "0.05".to_owned())));
/// ```
pub fn lasting_settings(config: &RunConfig) -> Vec<(&'static str, String)> {
    let defaults: toml::Table = DEFAULT.parse().expect("the defaults are TOML");
    let table = as_table(config);
    let default = |key: &Key| value_in(&table, key) == value_in(&defaults, key);
    let later = |key: &Key| ADDED.contains(&key.path) && default(key);
    let kept = KEYS.iter().filter(|key| !later(key));
    kept.map(|key| (key.path, value_in(&table, key).to_string())).collect()
}

fn as_table(config: &RunConfig) -> toml::Table {
    toml::Table::try_from(config)
        .expect("integers stay within TOML's, and every section is a table")
}

fn value_in<'table>(table: &'table toml::Table, key: &Key) -> &'table toml::Value {
    let value = table.get(key.section()).and_then(|section| section.get(key.name()));
    value.expect("each key of the table of keys has its field")
}

/// Reads what [`to_toml`] wrote; `path` is named in problems. Every key has to be there, and
/// resolved; those that came later have their default where they are missing.
pub fn from_toml(text: &str, path: &str) -> Result<RunConfig, Problems> {
    let mut layers = Layers::default();
    layers.lay_toml(text, &|line| Origin::File { path: path.into(), line });
    if !layers.incomplete {
        layers.fill_in(&Layers::of_defaults(), ADDED);
        missing_and_unresolved(&mut layers, path);
    }
    if layers.problems.is_empty() {
        let config = build(&layers);
        let problems = validate::between_keys(&config, &layers.origins(), &BTreeSet::new());
        if problems.is_empty() {
            return Ok(config);
        }
        layers.problems = problems;
    }
    Err(Problems(layers.problems))
}

fn missing_and_unresolved(layers: &mut Layers, path: &str) {
    let hint = "let `lcsl train` write this file, and change settings on its command line";
    for key in KEYS.iter().filter(|key| !layers.bad.contains(key.path)).collect::<Vec<_>>() {
        let (what, place) = match layers.origin(key.path) {
            None => (format!("{} is missing", key.path), path.to_owned()),
            Some(origin) if layers.is_auto(key.path) && key.path != "admission.quota_rate" => (
                format!(
                    "{} is auto, but a run's own configuration has every auto resolved",
                    key.path
                ),
                origin.to_string(),
            ),
            Some(_) => continue,
        };
        layers.problems.push(Problem::new(what, place).hint(hint));
    }
}

/// The typed configuration of layers that are complete and resolved.
pub(crate) fn build(layers: &Layers) -> RunConfig {
    RunConfig::deserialize(layers.to_table())
        .expect("the table of keys and the structs agree, as a test shows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::parse_train;

    /// A default written as `1` is another value than the `1.0` of a configuration; then a key that came later would
    /// stay, and every run would be another one from then on.
    #[test]
    fn no_key_that_came_later_stays_where_it_has_its_default() {
        let machine = Machine { cores: 2, gpus: None };
        let config = parse_train(&[], &machine).unwrap().config;
        let kept = lasting_settings(&config);
        let later: Vec<_> = kept.iter().filter(|(path, _)| ADDED.contains(path)).collect();
        assert!(later.is_empty(), "{later:?}");
        assert_eq!(kept.len(), KEYS.len() - ADDED.len());
    }
}
