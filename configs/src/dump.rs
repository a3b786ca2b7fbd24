//! `RUN_DIR/config.toml`: the merged configuration, written beside the results and read back by
//! every rank.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::keys::{ADDED, KEYS, Key};
use crate::layers::Layers;
use crate::origin::{Origin, Origins};
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
