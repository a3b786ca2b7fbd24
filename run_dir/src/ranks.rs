//! `ranks.json`: a list with a record for each rank.

use serde::{Deserialize, Serialize};

/// Where a rank ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankRecord {
    /// Number of the rank.
    pub rank: usize,
    /// Its host.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// `cpu` or `cuda:N`, a number of the list that was given.
    pub device: String,
}
