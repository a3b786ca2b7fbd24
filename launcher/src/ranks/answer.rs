//! Ranks that answer: started, waited for, and what they print on standard output taken as one JSON
//! object.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::command::LaunchCommand;
use super::leftovers;
use crate::fault::Fault;
use crate::supervise::mpirun_log;
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
    let mut starting = to_run(command);
    starting.stdout(Stdio::piped());
    if command.through_mpirun {
        starting.stderr(Stdio::piped());
    }
    let mut ranks = starting.spawn().map_err(|error| cannot_start(command, &error))?;
    let errors = ranks.stderr.take();
    let errors = errors.map(|errors| thread::spawn(move || keep(errors, terminal::show_line)));
    let output = ranks.wait_with_output().map_err(|error| cannot_start(command, &error))?;
    let kept = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
    leftovers::remove_session();
    if output.status.success() {
        return Ok(Answer::Printed(output.stdout));
    }
    if let Some(fault) = mpirun_log::of_launch(&mpirun_log::read(&kept.printed), None) {
        return Err(fault);
    }
    kept.show_messages();
    code_of(command, output.status).map(Answer::Failed)
}

/// The same of a rank that is alone, where it answers within `limit`; else it is killed, and there is no answer.
pub fn answer_within(command: &LaunchCommand, limit: Duration) -> Result<Option<Answer>, Fault> {
    let cannot = |error| cannot_start(command, &error);
    let mut rank = to_run(command).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let began = Instant::now();
    // Its answer is smaller than a pipe, so that it never waits for a reader.
    let status = loop {
        match rank.try_wait().map_err(cannot)? {
            Some(status) => break status,
            None if began.elapsed() < limit => thread::sleep(Duration::from_millis(20)),
            None => {
                let _ = rank.kill(); // it may have ended by itself
                rank.wait().map_err(cannot)?;
                return Ok(None);
            }
        }
    };
    if !status.success() {
        return code_of(command, status).map(|code| Some(Answer::Failed(code)));
    }
    let mut printed = Vec::new();
    rank.stdout.take().map(|mut out| out.read_to_end(&mut printed)).transpose().map_err(cannot)?;
    Ok(Some(Answer::Printed(printed)))
}

/// What was printed on standard error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// All of it.
    pub(super) printed: String,
    /// Lines that are not mpirun's.
    lines: Vec<String>,
    /// mpirun's own messages, which stand between two rules, and were not shown.
    messages: Vec<String>,
}

impl Kept {
    /// What ranks have remarked, but for why they failed, and that they end with the others.
    pub(super) fn remarks(&self) -> impl Iterator<Item = &String> {
        let is_fault = |line: &&String| {
            ["error: ", "  hint: "].iter().any(|begin| line.starts_with(begin))
                || line.ends_with("; this rank ends too")
        };
        self.lines.iter().filter(move |line| !is_fault(line))
    }

    /// Shows what mpirun has said, but for what a rank has explained.
    pub(super) fn show_messages(&self) {
        let says_more = |message: &&String| !says_only_that_a_rank_ended(message);
        for message in self.messages.iter().filter(says_more) {
            terminal::show_line(message);
        }
    }
}

/// Keeps what is printed, and shows what ranks print as it comes. How they end decides whether what mpirun says is
/// shown.
pub(super) fn keep(errors: impl Read, show: impl Fn(&str)) -> Kept {
    let mut kept = Kept::default();
    let mut message: Option<Vec<String>> = None;
    for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        kept.printed.push_str(&line);
        kept.printed.push('\n');
        let is_rule = line.len() > 20 && line.bytes().all(|byte| byte == b'-');
        match (is_rule, message.take()) {
            (true, Some(lines)) => kept.messages.push(lines.join("\n")),
            (true, None) => message = Some(Vec::new()),
            (false, Some(mut lines)) => {
                lines.push(line);
                message = Some(lines);
            }
            (false, None) => {
                show(&line);
                kept.lines.push(line);
            }
        }
    }
    kept.messages.extend(message.map(|lines| lines.join("\n"))); // cut off
    kept
}

/// Whether a message of mpirun's says no more than that a rank ended with an error, which that rank has explained.
fn says_only_that_a_rank_ended(message: &str) -> bool {
    ["Primary job  terminated normally", "mpirun detected that one or more processes exited"]
        .iter()
        .any(|begin| message.trim_start().starts_with(begin))
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

/// The started program is not there, or cannot be run.
pub(super) fn cannot_start(command: &LaunchCommand, error: &std::io::Error) -> Fault {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: behind the sentence of the rank that failed came two messages of mpirun's that said nothing.
    #[test]
    fn messages_of_mpirun_are_kept_back() {
        let rule = "-".repeat(74);
        let printed = format!(
            "error: no model\n{rule}\nPrimary job  terminated normally, but\n{rule}\n{rule}\nssh was lost\n{rule}\n"
        );
        let kept = keep(printed.as_bytes(), |_| ());
        assert_eq!(kept.printed, printed);
        assert_eq!(kept.lines, ["error: no model"]);
        assert_eq!(kept.messages, ["Primary job  terminated normally, but", "ssh was lost"]);
        let shown: Vec<bool> =
            kept.messages.iter().map(|it| !says_only_that_a_rank_ended(it)).collect();
        assert_eq!(shown, [false, true]);
    }
}
