//! Why `lcsl` ends without having done what it was asked: what happened and where, what to do, and
//! the exit code.

use std::fmt;
use std::io;
use std::path::Path;

use lcsl_config::Problem;
use serde_json::{Value, json};

use lcsl_run_dir::exit;

/// One reason to end: as a person sees it by its `Display`, as a script does by [`Fault::to_json`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened and where: lower-case, without a full stop; further lines hold details.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Several things wrong at once, each with its place and remedy; `what` is then their title.
    pub problems: Vec<Problem>,
    /// The exit code, one of [`exit`].
    pub exit_code: u8,
}

impl Fault {
    /// A fault that nothing more can be said about.
    pub fn new(what: impl Into<String>, exit_code: u8) -> Self {
        Self { what: what.into(), hint: None, problems: Vec::new(), exit_code }
    }

    /// A fault in what the user gave or has installed.
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(what, exit::USAGE) }
    }

    /// Something that the disk did not do; `action` completes the sentence "cannot … PATH".
    pub fn disk(action: &str, path: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room there"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some("choose another place with --run_dir")
            }
            _ => None,
        };
        let what = format!("cannot {action} {}: {error}", path.display());
        Self { hint: hint.map(str::to_owned), ..Self::new(what, exit::DISK) }
    }

    /// Several things wrong at once, each with its place and remedy.
    pub fn several(title: &str, problems: &[Problem], exit_code: u8) -> Self {
        Self { problems: problems.to_vec(), ..Self::new(title, exit_code) }
    }

    /// The fault as a script reads it: one object with `error`, which holds `what`, `hint` (or null),
    /// `exit_code` and `problems`, a list of objects with `what`, `where` and `hint`.
    pub fn to_json(&self) -> Value {
        let problems: Vec<Value> = self
            .problems
            .iter()
            .map(|one| json!({ "what": one.what, "where": one.place, "hint": one.hint }))
            .collect();
        json!({ "error": {
            "what": self.what,
            "hint": self.hint,
            "exit_code": self.exit_code,
            "problems": problems,
        } })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        for problem in &self.problems {
            write!(formatter, "\n  - {}\n    where: {}", problem.what, problem.place)?;
            if let Some(hint) = &problem.hint {
                write!(formatter, "\n    hint: {hint}")?;
            }
        }
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
