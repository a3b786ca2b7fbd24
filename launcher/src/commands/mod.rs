//! What `lcsl` can do, a file for each command.
//!
//! [`train`] is `lcsl train`, from the command line to the table at the end, on one screen; [`dry_run`] is its
//! `--dry_run`; [`submit`] gives it to Slurm, [`sweep`] runs it many times, and
//! [`posthoc`] trains the classifier of a run once more; [`import`] makes a run of weights from elsewhere; all of them
//! are [`with_training`]'s: they take the flags of `lcsl train` too. [`eval`], [`predict`] and [`export`]
//! read a run that was [`trained`]; [`precision`] finds out which is the faster one; [`bench_step`] and
//! [`bench_allreduce`] are `lcsl bench`; [`data`] is `lcsl data …`, datasets on disk. [`documents`] makes completions
//! and manual pages; [`version`] is what `--version` says.
//!
//! The arguments of a command stand beside it; `cli` gathers them, and no command knows it.

pub mod bench_allreduce;
pub mod bench_step;
#[cfg(feature = "data")]
pub mod data;
pub mod documents;
pub mod dry_run;
pub mod eval;
pub mod export;
pub mod import;
pub mod posthoc;
mod precision;
pub mod predict;
pub mod submit;
pub mod sweep;
pub mod train;
mod trained;
pub mod version;
mod with_training;
