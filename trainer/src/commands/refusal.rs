//! What a rank says on standard error when it cannot do what it was asked, and its exit code.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use lcsl_collective::control::{ADDRESS_VARIABLE, Control, Failure, FromRank};
use lcsl_trainer::engine::evaluation::saved_model::SavedModelError;
use lcsl_trainer::engine::run::failure;

use super::start::hello;

/// Why a run cannot be measured or exported.
pub(super) fn explain(error: &SavedModelError) -> ExitCode {
    let (code, hint) = failure::of_saved_model(error);
    refuse(error, hint, code)
}

/// Says why a rank fails, unless another one says it.
pub(super) fn fail(failure: &Failure) -> ExitCode {
    let code = failure.exit_code as u8;
    if failure.bystander {
        return ExitCode::from(code);
    }
    refuse(&failure.what, failure.hint.clone(), code)
}

/// Says what is wrong, with a remedy where there is one.
pub(super) fn refuse(error: &dyn Display, hint: Option<String>, code: u8) -> ExitCode {
    let hint = hint.map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
    // In one piece, because other ranks write to the same place; where that fails, nobody is left to read.
    let _ = std::io::stderr().write_all(format!("error: {error}\n{hint}").as_bytes());
    ExitCode::from(code)
}

/// The same before a world has come together. The launcher hears it from the rank itself: mpirun waits 10 s for the
/// others before it ends.
pub(super) fn refuse_start(error: &dyn Display, hint: Option<String>, code: u8) -> ExitCode {
    let (what, exit_code) = (error.to_string(), code.into());
    let code = refuse(error, hint.clone(), code);
    tell_launcher(Failure { what, hint, exit_code, bystander: false });
    code
}

/// Where Open MPI's mpirun says how many it has started.
pub(super) const WORLD_SIZE: &str = "OMPI_COMM_WORLD_SIZE";

/// How long a rank waits for the launcher to have heard it, which then tells it to leave: a process that ends with
/// something unread takes back what it has sent.
const HEARD: Duration = Duration::from_secs(2);

/// Tells the launcher, where there is one that can be reached, in a connection of its own.
fn tell_launcher(failure: Failure) {
    let Ok(address) = std::env::var(ADDRESS_VARIABLE) else { return };
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (rank, world_size) = match (number("OMPI_COMM_WORLD_RANK"), number(WORLD_SIZE)) {
        (Some(rank), Some(size)) => (rank, size),
        _ => (0, 1),
    };
    let hello = hello(rank, world_size, "none".to_owned());
    let code = failure.exit_code;
    match Control::connect(&address, hello, move |_| std::process::exit(code)) {
        Ok(control) => {
            control.close(&FromRank::Failed(failure));
            std::thread::sleep(HEARD);
        }
        Err(error) => tracing::warn!("{error}"),
    }
}
