//! Commands that are `lcsl train` with settings of their own: they take its flags beside theirs.

use std::ffi::{OsStr, OsString};

use clap::Args;
use lcsl_config::{Problem, given_keys, train_clap_command};
use lcsl_run_dir::exit;

use crate::fault::Fault;
use crate::terminal;

/// What such a command was asked.
pub(super) enum Asked<T> {
    /// This, and these arguments for `lcsl train`.
    For(T, Vec<OsString>),
    /// For help, or for something that cannot be: that was said, and this is the exit code.
    Answered(u8),
}

/// Such a command, with those flags of `lcsl train` that are not its own and not among `without`, names of arguments.
pub(super) fn command<T: Args>(
    (name, about): (&'static str, &'static str),
    train: &clap::Command,
    without: &[&str],
) -> clap::Command {
    let own = T::augment_args(clap::Command::new(name));
    let is_free = |it: &&clap::Arg| {
        let is_own = own.get_arguments().any(|own| own.get_long() == it.get_long());
        !is_own && !without.contains(&it.get_id().as_str())
    };
    let theirs: Vec<clap::Arg> = train.get_arguments().filter(is_free).cloned().collect();
    own.about(about).args(theirs)
}

/// Reads the arguments behind the command's name; those before the first flag are its own.
pub(super) fn parse<T: Args>(
    whole: impl FnOnce(&clap::Command) -> clap::Command,
    arguments: &[OsString],
) -> Result<Asked<T>, Fault> {
    let own = T::augment_args(clap::Command::new("lcsl"));
    let is_flag = |it: &OsString| it.to_string_lossy().starts_with('-');
    let (places, flags) =
        arguments.split_at(arguments.iter().position(is_flag).unwrap_or(arguments.len()));
    let (mine, theirs) = divide(&own, flags);
    let command = whole(&train_clap_command());
    let name = format!("lcsl {}", command.get_name());
    if theirs.iter().any(|argument| argument == "--help" || argument == "-h") {
        let help = command.bin_name(name).render_help().to_string();
        return terminal::print(&help).map(|()| Asked::Answered(exit::DONE));
    }
    let parsed =
        own.name(name).no_binary_name(true).try_get_matches_from(places.iter().chain(&mine));
    match parsed.and_then(|mut matches| T::from_arg_matches_mut(&mut matches)) {
        Ok(asked) => Ok(Asked::For(asked, theirs)),
        Err(error) => {
            let _ = error.print(); // standard error may be closed
            Ok(Asked::Answered(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE)))
        }
    }
}

/// Which arguments are a command's `own`, and which are those of `lcsl train`.
pub(super) fn divide(
    own: &clap::Command,
    arguments: &[OsString],
) -> (Vec<OsString>, Vec<OsString>) {
    let (mut mine, mut train) = (Vec::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text.as_ref(), None),
        };
        let plain = name.strip_prefix("--").map(|name| name.replace('-', "_"));
        let known = plain.and_then(|name| {
            own.get_arguments().find(|it| it.get_long() == Some(name.as_str())).cloned()
        });
        let Some(known) = known else {
            train.push(argument.clone());
            continue;
        };
        mine.push(argument.clone());
        if value.is_none() && known.get_action().takes_values() {
            mine.extend(rest.next().cloned());
        }
    }
    (mine, train)
}

/// A flag, such as `--init=`, with a value that need not be text.
pub(super) fn flag(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(value);
    flag
}

/// Refuses settings of `lcsl train` that a command has to make itself, all at once: their keys (or "--config"), each
/// with the reason. `title` says what cannot be done.
pub(super) fn refuse(
    title: &str,
    fixed: &[(&str, &str)],
    theirs: &[OsString],
) -> Result<(), Fault> {
    let given = given_keys(theirs);
    let refused = fixed.iter().filter(|(key, _)| given.contains(key));
    let problem = |(key, why): &(&str, &str)| Problem {
        what: format!("{key} cannot be set: {why}"),
        place: "command line".into(),
        hint: None,
    };
    let problems: Vec<Problem> = refused.map(problem).collect();
    if problems.is_empty() {
        return Ok(());
    }
    let hint = "leave that out, or train a run of its own with `lcsl train --init=FILE`";
    Err(Fault { hint: Some(hint.into()), ..Fault::several(title, &problems, exit::USAGE) })
}
