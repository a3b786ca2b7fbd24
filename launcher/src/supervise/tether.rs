//! mpirun dies with its launcher. Left alone it would hold on to ranks that have ended themselves, as long as a rank is
//! given to save.

#![allow(unsafe_code)] // what happens between fork and exec is for the caller to answer for

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};

/// Has the system kill the program when the thread that starts it ends; that is the launcher's only one.
pub(super) fn tether(command: &mut Command) {
    let die_with_parent =
        || set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from);
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls are allowed: it
    // makes one system call (`prctl`) through rustix, takes no lock and no memory, and touches nothing of the parent's.
    unsafe { command.pre_exec(die_with_parent) };
}
