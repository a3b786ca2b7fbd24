//! The program `lcsl`: what a person types.
//!
//! It checks what was asked for, starts one process per rank, watches them, and says how it went.
//! It links neither libtorch nor MPI, so it starts at once and can explain their absence; the work
//! is done by `lcsl-rank`.
//!
//! In reading order:
//!
//! - [`cli`]: the commands, and who does each of them: [`commands`].
//! - [`machine`]: cores and GPUs. [`surroundings`]: what started us, and the variables that it left.
//! - [`ranks`]: what has to be installed, the command that starts the ranks, a pure function of the
//!   configuration, and the group of them that works on one run. [`run_dir`]: whether a run may begin
//!   there, and its lock.
//! - [`supervise`]: watching the ranks; its middle is a pure state machine.
//! - [`slurm`]: batch scripts. [`sweep`]: many runs that are compared.
//! - [`report`]: the figures of a finished run as a table.
//! - [`fault`], [`terminal`]: how all of them say what is wrong, and where it is written.

pub mod cli;
pub mod commands;
pub mod fault;
pub mod machine;
pub mod ranks;
pub mod report;
pub mod run_dir;
pub mod slurm;
pub mod supervise;
pub mod surroundings;
pub mod sweep;
pub mod terminal;
