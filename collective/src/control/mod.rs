//! The connection between a rank and the launcher that started it.
//!
//! ```text
//! launcher                                   rank
//!    |  LCSL_CONTROL=address, LCSL_CONTROL_SECRET (environment)
//!    |------------------- Challenge ------------>|   only between hosts
//!    |<------------------ Hello -----------------|   who, where, which version; the secret proves that it is ours
//!    |<------------------ Heartbeat -------------|   every second: epoch, step, phase
//!    |<------------------ Progress, Evaluation --|   rank 0 only: what the terminal shows
//!    |------------------- Stop ----------------->|   finish the step, save a checkpoint, leave
//!    |------------------- Leave ---------------->|   the run has failed: end at once
//!    |<------------------ Failed or Finished ----|   the last word of a rank
//! ```
//!
//! Between hosts the secret itself is never sent: a rank answers a challenge with a keyed digest of it ([`proof`]).
//!
//! Messages are JSON, one to a line. A connection that closes before the last word is a death, and
//! its heartbeats say how far the rank had come. A rank whose launcher disappears ends itself.

mod client;
mod message;

pub use client::{Control, ControlError, HeartbeatCell, Parting};
pub use message::{Failure, FromRank, Hello, Phase, Score, ToRank, TrainProgress};

/// Environment variable with the launcher's address, `host:port`.
pub const ADDRESS_VARIABLE: &str = "LCSL_CONTROL";

/// Environment variable with the secret that a rank shows in its [`Hello`].
pub const SECRET_VARIABLE: &str = "LCSL_CONTROL_SECRET";

/// What shows that `rank` knows the secret, without telling it: blake3 of the nonce and the rank, keyed by the secret,
/// 64 hexadecimal digits.
pub fn proof(secret: &str, nonce: &str, rank: usize) -> String {
    let key = blake3::derive_key("lcsl control connection, 2026", secret.as_bytes());
    blake3::keyed_hash(&key, format!("{nonce} {rank}").as_bytes()).to_hex().to_string()
}

/// Whether two secrets are the same. How long this takes tells nothing about where they differ.
pub fn is_same_secret(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_secret_one_nonce_and_one_rank() {
        let one = proof("secret", "nonce", 3);
        assert!(is_same_secret(&one, &proof("secret", "nonce", 3)));
        for other in
            [proof("other", "nonce", 3), proof("secret", "once", 3), proof("secret", "nonce", 4)]
        {
            assert!(!is_same_secret(&one, &other));
        }
        assert!(!one.contains("secret"));
    }
}
