//! A panic of a rank, told to its launcher.

use std::sync::OnceLock;

use lcsl_collective::control::{Control, Failure, FromRank};
use lcsl_run_dir::exit::{BUG, RANK_FAILED};
use lcsl_trainer::last_words;

/// Where a panic is reported, once there is a launcher to report it to.
static CONTROL: OnceLock<Control> = OnceLock::new();

/// A panic is our bug, and the failure of a rank: it is reported like any other, and the process ends
/// instead of leaving the other ranks waiting.
pub(crate) fn report() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        last_words::no_more();
        if let Some(control) = CONTROL.get() {
            control.close(&FromRank::Failed(Failure {
                what: format!("internal error: {panic}"),
                hint: Some("please report this, with logs/ of the run directory".to_owned()),
                exit_code: i32::from(RANK_FAILED),
                bystander: false,
            }));
        }
        std::process::exit(BUG.into());
    }));
}

/// From now on there is a launcher to report a panic to.
pub(crate) fn report_to(control: Control) {
    let _ = CONTROL.set(control); // set nowhere else
}
