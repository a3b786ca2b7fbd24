//! What launcher and ranks agree on about a run directory, and about how a run ends. It refuses to
//! know how these files get to the disk or from it, what a tensor, a rank's world, a clock or a
//! configuration is, and how any of the figures is computed: plain values and names alone, so that
//! each side, and a program of somebody else, can read what the other has written.
//!
//! In the order in which a newcomer should read:
//!
//! * [`names`]: the files of a run directory, and who writes them.
//! * [`event`]: the lines of `metrics.jsonl`.
//! * [`result`]: `result.json`, and the answer of `lcsl eval`.
//! * [`ranks`]: the records of `ranks.json`.
//! * [`exit`]: with which codes a run ends.
//! * [`gpu`]: how they say that a GPU has failed.
//! * [`memory`]: how a rank's programs say that memory is out.

pub mod event;
pub mod exit;
pub mod gpu;
pub mod memory;
pub mod names;
pub mod ranks;
pub mod result;

pub use event::Event;
pub use names::RunDir;
pub use ranks::RankRecord;
pub use result::RunResult;
