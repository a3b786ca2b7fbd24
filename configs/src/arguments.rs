//! The arguments of `lcsl train`, parsed into what was given.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::error::{ContextKind, ErrorKind};

use crate::flags::{COMMAND_FLAGS, COMMAND_SWITCHES, train_clap_command};
use crate::keys::{self, KEYS};
use crate::problem::Problem;
use crate::suggest;

/// What the arguments say, before any value is checked.
#[derive(Debug, Default)]
pub(crate) struct TrainArguments {
    /// The names given to `--config`, in order.
    pub(crate) configs: Vec<String>,
    /// The name given to `--hostfile`.
    pub(crate) host_file: Option<String>,
    /// Flags of keys, and `--set`, in order.
    pub(crate) given: Vec<Given>,
    pub(crate) dry_run: bool,
    pub(crate) write_config: bool,
    pub(crate) json: bool,
    pub(crate) problems: Vec<Problem>,
}

/// One flag with its text.
#[derive(Debug)]
pub(crate) struct Given {
    /// Without dashes, with underscores; "set" for `--set`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Parses the arguments after `lcsl train`. The error is the text of help or version, if that was
/// asked for.
///
/// An unknown argument is recorded and dropped, and the rest parsed again, so that one mistake
/// hides no other.
pub(crate) fn parse(arguments: &[OsString]) -> Result<TrainArguments, String> {
    let mut parsed = TrainArguments::default();
    let mut rest: Vec<String> = Vec::new();
    for argument in arguments {
        match argument.to_str() {
            Some(text) => match rest.last_mut().filter(|flag| is_value_of(text, flag)) {
                Some(flag) => *flag = format!("{flag}={text}"),
                None => rest.push(normalised(text)),
            },
            None => parsed.problems.push(
                Problem::new(format!("{} is not valid UTF-8", argument.display()), "command line")
                    .hint("config.toml is UTF-8, so every name in it has to be"),
            ),
        }
    }
    loop {
        match train_clap_command().no_binary_name(true).try_get_matches_from(&rest) {
            Ok(matches) => {
                collect(&matches, &mut parsed);
                return Ok(parsed);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
            {
                return Err(error.render().to_string());
            }
            Err(error) => drop_argument(&error, &mut rest, &mut parsed.problems),
        }
    }
}

/// What the arguments of `lcsl train` set themselves, for a command that has settings of its own: the paths of keys
/// given by flags or `--set`, each once and in the order of the command line, and `--config` where a file is named.
/// What is wrong in them is no matter here; [`parse_train`](crate::parse_train) says it.
///
/// ```
/// let arguments = ["--epochs=3", "--set", "refit.lr=0.1", "--config=demo"].map(Into::into);
/// assert_eq!(lcsl_config::given_keys(&arguments), ["train.epochs", "refit.lr", "--config"]);
/// ```
pub fn given_keys(arguments: &[OsString]) -> Vec<&'static str> {
    let Ok(parsed) = parse(arguments) else { return Vec::new() };
    let key = |given: &Given| match given.name.as_str() {
        "set" => keys::find(given.text.split('=').next().unwrap_or_default().trim()),
        name => keys::find_flag(name),
    };
    let mut paths: Vec<&'static str> = Vec::new();
    for key in parsed.given.iter().filter_map(key) {
        if !paths.contains(&key.path) {
            paths.push(key.path);
        }
    }
    paths.extend((!parsed.configs.is_empty()).then_some("--config"));
    paths
}

/// Whether `text` is a negative number after a flag; clap would take some of them, like -5e-3, for
/// flags of their own.
fn is_value_of(text: &str, flag: &str) -> bool {
    let is_open = flag.len() > 2 && flag.starts_with("--") && !flag.contains('=');
    is_open && text.starts_with('-') && text.parse::<f64>().is_ok()
}

/// `--batch-size=64` and `--batch_size=64` are the same flag; values and everything else stay as
/// they are.
fn normalised(argument: &str) -> String {
    match argument.strip_prefix("--") {
        Some(flag) if !flag.is_empty() => match flag.split_once('=') {
            Some((name, value)) => format!("--{}={value}", name.replace('-', "_")),
            None => format!("--{}", flag.replace('-', "_")),
        },
        _ => argument.into(),
    }
}

/// Records what clap did not like and removes it from `rest`, which always becomes shorter.
fn drop_argument(error: &clap::Error, rest: &mut Vec<String>, problems: &mut Vec<Problem>) {
    let named = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let unknown = error.kind() == ErrorKind::UnknownArgument;
    let (flag, at) = if unknown {
        (named.as_str(), rest.iter().position(|argument| is_named(argument, &named)))
    } else {
        // A value is missing: only an occurrence without `=` can lack one, and the last one does.
        let flag = named.split(' ').next().unwrap_or_default();
        (flag, rest.iter().rposition(|argument| argument == flag))
    };
    let Some(at) = at else {
        // Something clap says in a form that this function does not know; its own words must do.
        let what = error.render().to_string();
        let what = what.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        problems.push(Problem::new(what, "command line"));
        return rest.clear();
    };
    let argument = rest.remove(at);
    if !unknown {
        let expected = find_expected(flag.trim_start_matches('-'));
        let problem = Problem::new(format!("{flag} has no value"), format!("flag {flag}"));
        return problems
            .push(problem.hint(format!("write {flag}=VALUE, where VALUE is {expected}")));
    }
    // No argument of this command stands alone, so what follows an unknown flag is its value.
    let has_own_value = argument.contains('=') || !argument.starts_with('-');
    if !has_own_value && rest.get(at).is_some_and(|next| !next.starts_with('-')) {
        rest.remove(at);
    }
    problems.push(unknown_argument(flag, &argument));
}

/// Clap repeats what stands before the `=`, and of `-abc` only the first letter that it does not
/// know.
fn is_named(argument: &str, named: &str) -> bool {
    let is_short = |text: &str| text.starts_with('-') && !text.starts_with("--");
    let is_flag = argument.strip_prefix(named).is_some_and(|rest| rest.starts_with('='));
    argument == named || is_flag || is_short(argument) && is_short(named)
}

fn unknown_argument(flag: &str, argument: &str) -> Problem {
    if !argument.starts_with('-') || argument.len() < 2 {
        let what = format!("unexpected argument \"{argument}\"");
        let problem = Problem::new(what, "command line");
        return problem.hint("every setting is a flag, such as --epochs=10");
    }
    let name = flag.trim_start_matches('-');
    let problem = Problem::new(format!("unknown flag {flag}"), format!("flag {flag}"));
    let known = KEYS.iter().flat_map(|key| key.flags.iter().copied());
    let known = known
        .chain(COMMAND_FLAGS.iter().map(|flag| flag.0))
        .chain(COMMAND_SWITCHES.iter().map(|flag| flag.0));
    match suggest::nearest(name, known) {
        Some(near) => problem.hint(format!("did you mean --{near}?")),
        None => match suggest::nearest_key(name) {
            Some(key) => problem.hint(format!("did you mean --set {key}=VALUE?")),
            None => problem.hint("`lcsl train --help` lists every flag"),
        },
    }
}

fn find_expected(name: &str) -> String {
    match (keys::find_flag(name), name) {
        (Some(key), _) => key.kind.expected(),
        (None, "set") => "KEY=VALUE".into(),
        (None, "hostfile") => "the path of a file".into(),
        (None, _) => "a preset or a path".into(),
    }
}

fn collect(matches: &ArgMatches, parsed: &mut TrainArguments) {
    parsed.configs = texts(matches, "config").into_iter().map(|(_, text)| text).collect();
    parsed.host_file = texts(matches, "hostfile").pop().map(|(_, text)| text);
    for (name, on) in [
        ("dry_run", &mut parsed.dry_run),
        ("write_config", &mut parsed.write_config),
        ("json", &mut parsed.json),
    ] {
        if let Some((_, text)) = texts(matches, name).pop() {
            match text.parse() {
                Ok(value) => *on = value,
                Err(_) => parsed.problems.push(Problem::new(
                    format!("{name} is \"{text}\", but must be true or false"),
                    format!("flag --{name}"),
                )),
            }
        }
    }
    let names = KEYS.iter().flat_map(|key| key.flags.iter().copied()).chain(["set"]);
    let mut given: Vec<(usize, Given)> = names
        .flat_map(|name| {
            let named = move |(at, text)| (at, Given { name: name.to_owned(), text });
            texts(matches, name).into_iter().map(named)
        })
        .collect();
    given.sort_by_key(|(at, _)| *at);
    parsed.given = given.into_iter().map(|(_, given)| given).collect();
}

/// The values of one flag, each with its place among all arguments.
fn texts(matches: &ArgMatches, name: &str) -> Vec<(usize, String)> {
    let Some(values) = matches.get_many::<String>(name) else {
        return Vec::new();
    };
    let places = matches.indices_of(name).into_iter().flatten();
    places.zip(values.cloned()).collect()
}
