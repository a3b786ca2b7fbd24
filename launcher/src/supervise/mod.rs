//! Watching over the ranks of a run.
//!
//! In reading order: [`facts`] is what is known; [`state`] is the pure middle, events in and actions out, with
//! [`start`] for the wait until all ranks are there; [`verdict`] says how a run ended, from the facts, and `arrears`
//! who waits for whom in which collective call; [`explain`] finds the cause in what a program printed before it could
//! speak to us, and [`mpirun_log`] in what mpirun says of hosts. Around them, [`server`] hears the ranks,
//! [`interrupts`] who asks to stop, [`processes`] starts and ends ranks, with an mpirun that dies with its launcher
//! ([`tether`]), [`display`] shows how it goes, and [`watch`] moves events and actions between all of these.

mod arrears;
pub mod display;
pub mod explain;
pub mod facts;
pub mod interrupts;
pub mod mpirun_log;
pub mod processes;
pub mod server;
mod start;
pub mod state;
mod tether;
pub mod verdict;
pub mod watch;
pub mod watchdog;
