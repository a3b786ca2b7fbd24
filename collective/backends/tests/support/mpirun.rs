//! How tests start mpirun.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// mpirun with room for more ranks than there are cores; the caller adds how many, and of what.
///
/// Story: all of a user's mpirun on one host keep their sessions in one folder, which the last to end removes. One
/// that began at that moment found no folder to put its own into ("`orte_session_dir` failed"), and a test failed that
/// had nothing to do with it. So each gets a folder of its own, which it makes and removes by itself.
pub(crate) fn mpirun() -> Command {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let sessions = format!("lcsl-test.{}.{number}", std::process::id());
    let mut command = Command::new("mpirun");
    command
        .args(["--bind-to", "none"])
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("OMPI_MCA_orte_top_session_dir", std::env::temp_dir().join(sessions));
    command
}
