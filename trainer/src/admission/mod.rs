//! Which self-labelled candidates enter the loss.
//!
//! Every rank gathers the candidates of all ranks and runs the same pure function on them; nothing
//! here depends on how the batch was split or in which order candidates arrive. All arithmetic is
//! in integers, so that every platform gets the same quotas; logarithms of [`alignment`] are rounded to such.
//!
//! * [`candidate`]: the 16 bytes that travel.
//! * [`rules`]: the policies (`reference`, `quota`, `rate`), in one function: [`Rules::admit`].
//! * [`quantile`]: each class's own gate.
//! * [`alignment`]: labels of all classes equally often.
//! * [`ledger`]: what admission remembers between steps.
//! * [`digest`]: one number that two runs can compare.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

pub mod alignment;
pub mod candidate;
pub mod digest;
pub mod ledger;
pub mod quantile;
pub mod rules;

pub use candidate::{Admitted, Candidate};
pub use digest::AdmissionDigest;
pub use ledger::Ledger;
pub use rules::{AdmissionSettings, AdmissionStep, Rules, auto_quota_rate, crest_rates};

/// The teacher's labels beside what the student says of the same images, in the pass in which it learns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BesideStudent {
    /// Labels that are the student's likeliest class, too.
    pub alike: u64,
    /// Labels compared: of mixed images, admitted or not, and of unlabelled images that were admitted.
    pub compared: u64,
}

impl AddAssign for BesideStudent {
    fn add_assign(&mut self, more: Self) {
        self.alike += more.alike;
        self.compared += more.compared;
    }
}

/// Rates and shares are integers in millionths.
pub const MILLION: u64 = 1_000_000;
