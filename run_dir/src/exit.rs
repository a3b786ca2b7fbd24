//! Exit codes of `lcsl` and of its ranks, a contract with scripts. A rank says its own to the
//! launcher, which ends with it.

/// All that was asked for is done.
pub const DONE: u8 = 0;
/// Usage, configuration, or something that has to be installed: GPU, driver, mpirun, libtorch.
pub const USAGE: u8 = 2;
/// The data is missing or damaged.
pub const BAD_DATA: u8 = 3;
/// A rank failed, or loss, gradient or running statistics are not finite.
pub const RANK_FAILED: u8 = 4;
/// The disk did not do its part.
pub const DISK: u8 = 5;
/// Memory is out, of the host or of a GPU.
pub const OUT_OF_MEMORY: u8 = 6;
/// Another launcher is at work in the run directory; a batch script may try again later.
pub const IN_USE: u8 = 7;
/// Our bug.
pub const BUG: u8 = 70;
/// Stopped on request after a checkpoint was saved, or before anything had begun; a batch script may
/// requeue.
pub const STOPPED: u8 = 75;
/// A second Ctrl-C ended everything at once.
pub const ABANDONED: u8 = 130;

/// The code for a run whose only witness is a rank that ended with `code`: its own, where it is one that
/// a rank gives for a complaint about its start, else [`RANK_FAILED`].
pub fn of_a_rank(code: i32) -> u8 {
    match u8::try_from(code) {
        Ok(code @ (USAGE | BAD_DATA | DISK | OUT_OF_MEMORY | BUG)) => code,
        _ => RANK_FAILED,
    }
}
