//! Which self-labelled candidates enter the loss.
//!
//! Every rank gathers the candidates of all ranks and runs the same pure function on them; nothing
//! here depends on how the batch was split or in which order candidates arrive. All arithmetic is
//! in integers, so that every platform gets the same quotas.
//!
//! * [`candidate`]: the 16 bytes that travel.
//! * [`rules`]: the policies (`reference`, `quota`, `rate`), in one function: [`Rules::admit`].
//! * [`ledger`]: what admission remembers between steps.
//! * [`digest`]: one number that two runs can compare.

pub mod candidate;
pub mod digest;
pub mod ledger;
pub mod rules;

pub use candidate::{Admitted, Candidate};
pub use digest::AdmissionDigest;
pub use ledger::Ledger;
pub use rules::{AdmissionSettings, AdmissionStep, Rules, auto_quota_rate, crest_rates};

/// Rates and shares are integers in millionths.
pub const MILLION: u64 = 1_000_000;
