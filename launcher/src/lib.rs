//! The program `lcsl`: what a person types.
//!
//! It checks what was asked for, starts one process per rank, watches them, and says how it went.
//! It links neither libtorch nor MPI, so it starts at once and can explain their absence; the work
//! is done by `lcsl-rank`.
//!
//! In reading order:
//!
//! - [`cli`]: the commands, and which of the following does each of them.
//! - [`train`]: `lcsl train`, from the command line to the table at the end, on one screen;
//!   [`plan`] is its `--dry_run`, and [`crew`] the ranks and their lives.
//! - [`machine`]: cores and GPUs. [`start`]: what has to be installed, and the command that starts
//!   the ranks, a pure function of the configuration. [`run_dir`]: whether a run may begin there,
//!   and its lock.
//! - [`supervise`]: watching the ranks; its middle is a pure state machine.
//! - [`report`]: the figures of a finished run as a table.
//! - [`inspect`]: `lcsl eval` and `lcsl export`. [`bench_allreduce`] and [`bench_step`]: `lcsl bench`.
//! - [`documents`]: completions and manual pages; [`version`]: what `--version` says.
//! - [`data`]: `lcsl data …`, datasets on disk.
//! - [`fault`], [`exit`], [`terminal`]: how all of them say what is wrong, with which exit code,
//!   and where it is written.

pub mod bench_allreduce;
pub mod bench_step;
pub mod cli;
pub mod crew;
#[cfg(feature = "data")]
pub mod data;
pub mod documents;
pub mod exit;
pub mod fault;
pub mod inspect;
pub mod machine;
pub mod plan;
pub mod report;
pub mod run_dir;
pub mod start;
pub mod supervise;
pub mod terminal;
pub mod train;
pub mod version;
