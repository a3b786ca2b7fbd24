//! Ranks that answer: started, waited for, and what they print on standard output taken as one JSON
//! object.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use serde::de::DeserializeOwned;

use super::command::LaunchCommand;
use crate::fault::Fault;
use crate::terminal;
use lcsl_run_dir::exit;

/// What came of ranks that answer with one JSON object.
pub enum Answer {
    /// What rank 0 has printed.
    Printed(Vec<u8>),
    /// The exit code of a rank, which has said itself what was wrong.
    Failed(u8),
}

/// Starts ranks and waits for what they answer.
pub fn answer(command: &LaunchCommand) -> Result<Answer, Fault> {
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
pub fn measure<Figures: DeserializeOwned>(
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

/// Runs ranks whose work is their answer, and returns their exit code.
pub fn run(command: &LaunchCommand) -> Result<u8, Fault> {
    let status = to_run(command).status().map_err(|error| cannot_start(command, &error))?;
    code_of(command, status)
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

/// A fault of an answer that is none.
pub fn not_understood(error: &serde_json::Error) -> Fault {
    Fault {
        hint: Some("build lcsl and lcsl-rank together with `make build`".to_owned()),
        ..Fault::new(format!("the answer of lcsl-rank cannot be understood: {error}"), exit::BUG)
    }
}
