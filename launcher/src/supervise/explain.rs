//! Why a launch came to nothing, from what the programs printed: the only witness when no rank
//! reached the launcher.

use std::path::Path;

use super::facts::ChildEnd;
use super::verdict::describe;
use crate::fault::Fault;
use lcsl_run_dir::exit;
use lcsl_run_dir::memory::{self, OutOfMemory};

/// What the dynamic loader says when libtorch or MPI is absent or of another version.
const LOADER: &[&str] =
    &["error while loading shared libraries", "symbol lookup error", "undefined symbol"];

/// More lines than this are not repeated on the terminal.
const LINES_MAX: usize = 8;

/// Explains a launch of which no rank was ever heard. `printed` is the content of the file `log`, where there is one.
pub fn launch(printed: &str, log: Option<&Path>, end: ChildEnd) -> Fault {
    let loader = printed.lines().find(|line| LOADER.iter().any(|phrase| line.contains(phrase)));
    if let Some(line) = loader {
        return Fault::usage(
            format!("lcsl-rank cannot be loaded: {}", line.trim()),
            "it is missing or of another version: run `make setup` and `make build` again",
        );
    }
    let own = own_complaint(printed);
    if own.is_none()
        && let Some(out_of_memory) = OutOfMemory::said_in(printed)
    {
        let what = format!("no rank ever reached the launcher: {}, {out_of_memory}", describe(end));
        let what = format!("{what}{}", log_line(log));
        return Fault {
            hint: Some(memory::HINT.to_owned()),
            ..Fault::new(what, exit::OUT_OF_MEMORY)
        };
    }
    let exit_code = match end {
        // A rank that complains before it can connect ends with the code for its complaint, and
        // mpirun passes it on.
        ChildEnd::Code(code) if own.is_some() => exit::of_a_rank(code),
        _ => exit::RANK_FAILED,
    };
    let shown = own.unwrap_or_else(|| first_lines(printed));
    let ended = describe(end);
    let what = if shown.is_empty() {
        format!("no rank ever reached the launcher: {ended}, silently")
    } else {
        let lines = shown.join("\n    ");
        format!("no rank ever reached the launcher: {ended}, saying\n    {lines}")
    };
    let hint = log.map(|log| format!("all that was printed is in {}", log.display()));
    Fault { hint, ..Fault::new(what, exit_code) }
}

/// The failure of a rank as the verdict has it. `end` is the end of its log, which says that memory was out where a
/// library ended the rank over it; the fault names `log`, if there is one.
pub fn rank_failure(
    what: &str,
    hint: Option<&str>,
    exit_code: u8,
    end: &str,
    log: Option<&Path>,
) -> Fault {
    let at = log_line(log);
    let died = what.contains("killed") || what.contains("no last word");
    match OutOfMemory::said_in(end).filter(|_| died && exit_code == exit::RANK_FAILED) {
        Some(out_of_memory) => Fault {
            hint: Some(memory::HINT.to_owned()),
            ..Fault::new(format!("{what}: {out_of_memory}{at}"), exit::OUT_OF_MEMORY)
        },
        None => {
            Fault { hint: hint.map(str::to_owned), ..Fault::new(format!("{what}{at}"), exit_code) }
        }
    }
}

/// Explains a start that took too long: `what` says who was missing.
pub fn slow_start(what: &str, printed: &str, log: Option<&Path>) -> Fault {
    let shown = own_complaint(printed).unwrap_or_else(|| first_lines(printed));
    let said = if shown.is_empty() { "nothing".to_owned() } else { shown.join("\n    ") };
    let hint = format!(
        "usual reasons are limits of the shell (ulimit -n, ulimit -v), a host that does not answer, and \
         libtorch on a slow disk, for which run.start_limit_seconds can be raised{}",
        log.map(|log| format!("; see {}", log.display())).unwrap_or_default()
    );
    let what = format!("{what}; the launched program printed\n    {said}");
    Fault { hint: Some(hint), ..Fault::new(what, exit::RANK_FAILED) }
}

fn log_line(log: Option<&Path>) -> String {
    log.map(|log| format!("\n  log: {}", log.display())).unwrap_or_default()
}

/// The lines that a rank printed about itself: `error: …` and the remedy below it. Several ranks
/// say the same.
fn own_complaint(printed: &str) -> Option<Vec<&str>> {
    let from = printed.lines().skip_while(|line| !line.starts_with("error: "));
    let lines: Vec<&str> = from
        .enumerate()
        .take_while(|(place, line)| *place == 0 || line.starts_with(' '))
        .map(|(_, line)| line.trim_end())
        .take(LINES_MAX)
        .collect();
    (!lines.is_empty()).then_some(lines)
}

/// The first lines that say something: mpirun frames its messages with rules and blank lines.
fn first_lines(printed: &str) -> Vec<&str> {
    let speaking = |line: &&str| line.chars().any(char::is_alphanumeric);
    printed.lines().map(str::trim_end).filter(speaking).take(LINES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(printed: &str, end: ChildEnd) -> (String, u8) {
        let fault = launch(printed, Some(Path::new("runs/a/logs/mpirun.log")), end);
        (fault.to_string(), fault.exit_code)
    }

    #[test]
    fn a_library_that_does_not_load_is_a_matter_of_installation() {
        for line in [
            "lcsl-rank: error while loading shared libraries: libtorch_cpu.so: cannot open",
            "lcsl-rank: symbol lookup error: lcsl-rank: undefined symbol: _ZN3c105ErrorC1E",
        ] {
            let printed = format!("{line}\n{line}\n-----\nmpirun detected that …\n");
            let (text, code) = explained(&printed, ChildEnd::Code(127));
            assert_eq!(code, exit::USAGE);
            assert!(text.contains(line) && text.contains("make setup"), "{text}");
            assert_eq!(
                text.matches("lcsl-rank: ").count(),
                1 + line.matches(": lcsl-rank: ").count()
            );
        }
    }

    #[test]
    fn a_complaint_before_the_connection_keeps_its_exit_code() {
        let printed = "error: 1 ranks were started for a run of 2\n  \
                       hint: start it through `lcsl train`\n\
                       error: 1 ranks were started for a run of 2\n----\nmpirun detected\n";
        let (text, code) = explained(printed, ChildEnd::Code(2));
        assert_eq!(code, exit::USAGE);
        insta::assert_snapshot!(text, @r"
        no rank ever reached the launcher: the launched program ended with code 2, saying
            error: 1 ranks were started for a run of 2
              hint: start it through `lcsl train`
          hint: all that was printed is in runs/a/logs/mpirun.log
        ");
    }

    #[test]
    fn otherwise_the_first_lines_are_shown() {
        let printed = "-----------------\n\
                       There are not enough slots available in the system to satisfy the 4\n\
                       slots that were requested by the application:\n\n  lcsl-rank\n";
        let (text, code) = explained(printed, ChildEnd::Code(1));
        assert_eq!(code, exit::RANK_FAILED);
        assert!(text.contains("not enough slots") && !text.contains("----"), "{text}");
        let (silent, _) = explained("", ChildEnd::Signal(9));
        assert!(silent.contains("was killed by SIGKILL, silently"), "{silent}");
    }
}
