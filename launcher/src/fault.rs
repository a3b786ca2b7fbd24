//! Why `lcsl` ends without having done what it was asked: what happened and where, what to do, and
//! the exit code.

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use lcsl_config::Problem;

use crate::exit;

/// One reason to end, as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened and where: lower-case, without a full stop; further lines hold details.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit code, one of [`exit`].
    pub exit_code: u8,
}

impl Fault {
    /// A fault in what the user gave or has installed.
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: Some(hint.into()), exit_code: exit::USAGE }
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
        Self { what, hint: hint.map(str::to_owned), exit_code: exit::DISK }
    }

    /// Several things wrong at once, each with its place and remedy.
    pub fn several(title: &str, problems: &[Problem], exit_code: u8) -> Self {
        let mut what = title.to_owned();
        for problem in problems {
            let _ = write!(what, "\n  - {}\n    where: {}", problem.what, problem.place);
            if let Some(hint) = &problem.hint {
                let _ = write!(what, "\n    hint: {hint}");
            }
        }
        Self { what, hint: None, exit_code }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
