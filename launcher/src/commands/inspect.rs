//! `lcsl eval` and `lcsl export`: one rank reads a run, and the launcher shows what it found.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use lcsl_config::RunConfig;
use serde::de::DeserializeOwned;

use crate::cli::{Eval, Export, Split};
use crate::exit;
use crate::fault::Fault;
use crate::machine;
use crate::ranks::command::{self, Circumstances, LaunchCommand};
use crate::ranks::programs::{Surroundings, look};
use crate::report::figures::Evaluated;
use crate::report::table;
use crate::terminal;

/// Runs `lcsl eval` and returns the exit code, which is that of the rank.
pub fn eval(asked: &Eval) -> Result<u8, Fault> {
    let config = open(&asked.run_dir)?;
    let split = match asked.split {
        Split::Test => "test",
        Split::Val => "val",
    };
    let tta = asked.tta.unwrap_or(config.evaluation.tta).to_string();
    let mut rest: Vec<OsString> = ["--split", split, "--tta", &tta].map(Into::into).into();
    if let Some(tau) = asked.tau_norm {
        rest.extend(["--tau-norm".into(), tau.to_string().into()]);
    }
    if let Some(path) = &asked.predictions {
        rest.extend(["--predictions".into(), path.into()]);
    }
    let command = prepare(&config, "eval", &asked.run_dir, rest)?;
    let answer = match answer(&command)? {
        Answer::Printed(text) => text,
        Answer::Failed(code) => return Ok(code),
    };
    let answer: serde_json::Value =
        serde_json::from_slice(&answer).map_err(|error| not_understood(&error))?;
    if asked.json {
        terminal::print(&format!("{answer}\n"))?;
    } else {
        let evaluated: Evaluated =
            serde_json::from_value(answer).map_err(|error| not_understood(&error))?;
        terminal::print(&table::of_evaluation(&evaluated, &asked.run_dir))?;
    }
    Ok(exit::DONE)
}

/// Runs `lcsl export` and returns the exit code, which is that of the rank.
pub fn export(asked: &Export) -> Result<u8, Fault> {
    let config = open(&asked.run_dir)?;
    if asked.out.exists() && !asked.force {
        return Err(Fault::usage(
            format!("{} exists already", asked.out.display()),
            "give another name, or --force to overwrite it",
        ));
    }
    let mut rest: Vec<OsString> = vec![asked.out.clone().into()];
    if asked.teacher {
        rest.push("--teacher".into());
    }
    let command = prepare(&config, "export", &asked.run_dir, rest)?;
    let status = to_run(&command).status().map_err(|error| cannot_start(&command, &error))?;
    code_of(&command, status)
}

/// The configuration of a run that has something to look at.
fn open(run_dir: &Path) -> Result<RunConfig, Fault> {
    if !run_dir.join("config.toml").exists() {
        return Err(Fault::usage(
            format!("{} is no run directory: it has no config.toml", run_dir.display()),
            "give the directory of a run that `lcsl train` has started",
        ));
    }
    let config = lcsl_config::load(&run_dir.join("config.toml")).map_err(|problems| {
        let title = format!("{} holds a configuration that cannot be used", run_dir.display());
        Fault::several(&title, &problems.0, exit::USAGE)
    })?;
    let checkpoints = run_dir.join("checkpoints");
    let is_checkpoint =
        |entry: fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"step-");
    let mut entries = fs::read_dir(&checkpoints).into_iter().flatten().flatten();
    if !entries.any(is_checkpoint) {
        return Err(Fault::usage(
            format!("the run in {} has no checkpoint yet", run_dir.display()),
            "the first one is saved after the first epoch",
        ));
    }
    Ok(config)
}

fn prepare(
    config: &RunConfig,
    verb: &str,
    run_dir: &Path,
    rest: Vec<OsString>,
) -> Result<LaunchCommand, Fault> {
    let around = Surroundings::here();
    let (rank, libtorch) = look(&around, 1).complete()?;
    let devices = machine::visible_devices();
    let on = Circumstances {
        rank: &rank,
        libtorch: Some(&libtorch),
        control: "",
        secret: "",
        inherited_library_path: around.libtorch.library_path.as_deref(),
        inherited_devices: devices.as_deref(),
        is_root: false,
    };
    Ok(command::inspect(config, &on, verb, run_dir, rest))
}

/// What came of ranks that answer with one JSON object.
pub(crate) enum Answer {
    /// What rank 0 has printed.
    Printed(Vec<u8>),
    /// The exit code of a rank, which has said itself what was wrong.
    Failed(u8),
}

/// Starts ranks and waits for what they answer.
pub(crate) fn answer(command: &LaunchCommand) -> Result<Answer, Fault> {
    let ranks = to_run(command).stdout(Stdio::piped()).spawn();
    let output = ranks.and_then(std::process::Child::wait_with_output);
    let output = output.map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        Ok(Answer::Printed(output.stdout))
    } else {
        code_of(command, output.status).map(Answer::Failed)
    }
}

/// Runs a benchmark of ranks: shows their figures in a sentence, or as they come for a script. Returns
/// the exit code.
pub(crate) fn measure<Figures: DeserializeOwned>(
    command: &LaunchCommand,
    json: bool,
    shown: impl Fn(&Figures) -> String,
) -> Result<u8, Fault> {
    let text = match answer(command)? {
        Answer::Printed(text) => text,
        Answer::Failed(code) => return Ok(code),
    };
    if json {
        terminal::print(&String::from_utf8_lossy(&text))?;
    } else {
        let figures = serde_json::from_slice(&text).map_err(|error| not_understood(&error))?;
        terminal::print(&shown(&figures))?;
    }
    Ok(exit::DONE)
}

fn to_run(command: &LaunchCommand) -> Command {
    let mut running = Command::new(&command.program);
    running
        .args(&command.arguments)
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    running
}

fn cannot_start(command: &LaunchCommand, error: &std::io::Error) -> Fault {
    Fault::usage(
        format!("cannot start {}: {error}", command.program.display()),
        "run `make build` again",
    )
}

/// The exit code of a rank, which has said itself what was wrong; a signal is named here.
fn code_of(command: &LaunchCommand, status: ExitStatus) -> Result<u8, Fault> {
    match (status.code(), status.signal()) {
        // The dynamic loader's own code; it has written which library is missing.
        (Some(127), _) => Err(Fault::usage(
            format!("{} cannot be loaded", command.program.display()),
            "a library is missing or of another version: run `make setup` and `make build` again",
        )),
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(exit::BUG)),
        (None, signal) => Err(Fault::new(
            format!(
                "{} was killed by signal {}",
                command.program.display(),
                signal.unwrap_or_default()
            ),
            exit::RANK_FAILED,
        )),
    }
}

fn not_understood(error: &serde_json::Error) -> Fault {
    Fault {
        hint: Some("build lcsl and lcsl-rank together with `make build`".to_owned()),
        ..Fault::new(format!("the answer of lcsl-rank cannot be understood: {error}"), exit::BUG)
    }
}
