//! What a rank says on standard error when it cannot do what it was asked, and its exit code.

use std::io::Write as _;
use std::process::ExitCode;

use lcsl_trainer::engine::evaluation::saved_model::SavedModelError;
use lcsl_trainer::engine::run::failure;

/// Why a run cannot be measured or exported.
pub(super) fn explain(error: &SavedModelError) -> ExitCode {
    let (code, hint) = failure::of_saved_model(error);
    refuse(error, hint, code)
}

/// Says what is wrong, with a remedy where there is one.
pub(super) fn refuse(error: &dyn std::fmt::Display, hint: Option<String>, code: u8) -> ExitCode {
    let hint = hint.map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
    // In one piece, because other ranks write to the same place; where that fails, nobody is left to read.
    let _ = std::io::stderr().write_all(format!("error: {error}\n{hint}").as_bytes());
    ExitCode::from(code)
}
