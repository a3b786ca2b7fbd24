//! A panic of a rank, told to its launcher.

use std::sync::OnceLock;

use lcsl_collective::control::{Control, FromRank};
use lcsl_run_dir::exit::OUT_OF_MEMORY;
use lcsl_run_dir::memory::HINT;
use lcsl_trainer::engine::run::failure;
use lcsl_trainer::last_words;

/// Where a panic is reported, once there is a launcher to report it to.
static CONTROL: OnceLock<Control> = OnceLock::new();

/// A panic is our bug, unless memory was out, and the failure of a rank: it is reported like any other, and the process
/// ends instead of leaving the other ranks waiting.
pub(crate) fn report() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic); // with all of libtorch's stack, into the log
        let (failure, code) = failure::of_panic(&panic.to_string());
        if let Some(control) = CONTROL.get() {
            control.close(&FromRank::Failed(failure));
        } else if code == OUT_OF_MEMORY {
            eprintln!("error: {}\n  hint: {HINT}", failure.what);
        }
        last_words::leave(code);
    }));
}

/// From now on there is a launcher to report a panic to.
pub(crate) fn report_to(control: Control) {
    let _ = CONTROL.set(control); // set nowhere else
}
