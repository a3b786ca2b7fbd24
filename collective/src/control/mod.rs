//! The connection between a rank and the launcher that started it.
//!
//! ```text
//! launcher                                   rank
//!    |  LCSL_CONTROL=address, LCSL_CONTROL_SECRET (environment)
//!    |<------------------ Hello -----------------|   who, where, which version; the secret proves that it is ours
//!    |<------------------ Heartbeat -------------|   every second: epoch, step, phase
//!    |<------------------ Progress, Evaluation --|   rank 0 only: what the terminal shows
//!    |------------------- Stop ----------------->|   finish the step, save a checkpoint, leave
//!    |<------------------ Failed or Finished ----|   the last word of a rank
//! ```
//!
//! Messages are JSON, one to a line. A connection that closes before the last word is a death, and
//! its heartbeats say how far the rank had come. A rank whose launcher disappears ends itself.

mod client;
mod message;

pub use client::{Control, ControlError, HeartbeatCell};
pub use message::{Failure, FromRank, Hello, Phase, Score, ToRank, TrainProgress};

/// Environment variable with the launcher's address, `host:port`.
pub const ADDRESS_VARIABLE: &str = "LCSL_CONTROL";

/// Environment variable with the secret that a rank shows in its [`Hello`].
pub const SECRET_VARIABLE: &str = "LCSL_CONTROL_SECRET";
