//! The flags of `lcsl train`, built from the table of keys, with the help that they make.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use crate::keys::{KEYS, Key, KeyKind};
use crate::presets::DEFAULT;
use crate::zoo;

/// The command for `lcsl train`, for the launcher's own `--help`.
pub fn train_clap_command() -> Command {
    let command = Command::new("train")
        .bin_name("lcsl train")
        .display_name("lcsl train")
        .about("Train on a long-tailed dataset")
        .after_help("In flag names, _ and - are alike. --set and --config reach every key.")
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(100)
        .term_width(100);
    let flags = COMMAND_FLAGS
        .iter()
        .map(|(name, value, help)| text_arg(name).value_name(*value).help(*help));
    let switches = COMMAND_SWITCHES.iter().map(|(name, help)| switch_arg(name).help(*help));
    let defaults: toml::Table = DEFAULT.parse().expect("the embedded defaults are valid TOML");
    command.args(flags).args(switches).args(KEYS.iter().flat_map(|key| key_args(key, &defaults)))
}

/// The command for `lcsl train` as shells complete it: with the words of each choice. Reading the
/// arguments does without them, so that a wrong word is reported together with everything else that
/// is wrong.
pub fn train_completion_command() -> Command {
    KEYS.iter().fold(train_clap_command(), |command, key| {
        key.flags.iter().fold(command, |command, name| match key.kind {
            KeyKind::Choice(words) => {
                command.mut_arg(name, |arg| arg.value_parser(PossibleValuesParser::new(words)))
            }
            KeyKind::Path => command.mut_arg(name, |arg| arg.value_hint(ValueHint::AnyPath)),
            _ => command,
        })
    })
}

/// Flags that are no keys, because they say where settings come from: name, value, help.
pub(crate) const COMMAND_FLAGS: &[(&str, &str, &str)] = &[
    (
        "config",
        "NAME|PATH",
        "Preset (cifar100_lt, cifar10_lt, demo, fashion_mnist_lt, imagenet_lt, imagenet_lt_180, inaturalist2018, \
         places_lt, smoke) or TOML file over the defaults; repeatable",
    ),
    (
        "hostfile",
        "FILE",
        "Take the hosts from a file, as mpirun does: a line `NAME slots=RANKS` for each",
    ),
    ("set", "KEY=VALUE", "Set any key by its path, such as admission.burst_steps=4; repeatable"),
];
/// Switches that are no keys, because they say what to do and not what to run: name, help.
pub(crate) const COMMAND_SWITCHES: &[(&str, &str)] = &[
    ("dry_run", "Check everything, show the merged configuration, start nothing"),
    (
        "write_config",
        "Write the run directory with its configuration, start nothing: for ranks started by srun",
    ),
    ("json", "Answer with one JSON object on standard output"),
];

/// One argument per flag name: the first is shown, the others are hidden and named in its help.
fn key_args(key: &'static Key, defaults: &toml::Table) -> Vec<Arg> {
    let default = defaults.get(key.section()).and_then(|section| section.get(key.name()));
    let default = default.map(ToString::to_string).unwrap_or_default();
    let aliases: Vec<String> = key.flags.iter().skip(1).map(|alias| format!("--{alias}")).collect();
    let also =
        if aliases.is_empty() { String::new() } else { format!("; also {}", aliases.join(", ")) };
    let words = match key.kind {
        _ if key.path == "model.name" => format!(": {}", zoo::network_listing()),
        KeyKind::Choice(words) if is_long(words) => format!(": {}", words.join(", ")),
        _ => String::new(),
    };
    let arg_of = |(place, &name): (usize, &&'static str)| {
        let arg = match key.kind {
            KeyKind::Switch | KeyKind::SwitchOrNumber => switch_arg(name),
            kind => text_arg(name).value_name(value_name(kind)),
        };
        arg.hide(place > 0)
            .help(format!("{}{words}{also} [default: {default}]", key.help))
            .help_heading(heading(key.section()))
    };
    key.flags.iter().enumerate().map(arg_of).collect()
}

fn text_arg(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::Append).value_parser(value_parser!(String))
}

/// A switch stands bare for `true`, or has its value after `=` or a space.
fn switch_arg(name: &'static str) -> Arg {
    text_arg(name).value_name("BOOL").num_args(0..=1).default_missing_value("true")
}

/// Whether a list of words would push the explanations of its section off the screen; it then
/// stands among them.
fn is_long(words: &[&str]) -> bool {
    words.iter().map(|word| word.len() + 1).sum::<usize>() > 40
}

fn value_name(kind: KeyKind) -> String {
    match kind {
        KeyKind::Switch | KeyKind::SwitchOrNumber => "BOOL".into(),
        KeyKind::Integer(..) => "INTEGER".into(),
        KeyKind::Number(_) => "FLOAT".into(),
        KeyKind::Text => "TEXT".into(),
        KeyKind::Path => "PATH".into(),
        KeyKind::Choice(words) if is_long(words) => "NAME".into(),
        KeyKind::Choice(words) => words.join("|"),
        KeyKind::Devices => "cpu|0,1,…".into(),
    }
}

fn heading(section: &'static str) -> &'static str {
    match section {
        "run" => "Run",
        "data" => "Data",
        "model" => "Model",
        "train" => "Training",
        "loss" => "Loss",
        "refit" => "Refit",
        "admission" => "Admission",
        "checkpoint" => "Checkpoints",
        other => other,
    }
}
