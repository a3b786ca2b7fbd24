//! A candidate and how it travels.
//!
//! ```text
//! byte  0        8        12             16
//!       +--------+--------+--------------+
//!       | key    | label  | confidence   |   little-endian: u64, u32, bits of an f32
//!       +--------+--------+--------------+
//! ```

use thiserror::Error;

/// Bytes of one candidate.
pub const BYTES: usize = 16;

/// An image that the teacher has labelled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Position in the epoch's global order; unique within an epoch, also where an image is drawn
    /// twice.
    pub key: u64,
    /// The class that the teacher names.
    pub label: u32,
    /// The teacher's softmax probability for it, 0..1. These bits are gathered and never computed
    /// again.
    pub confidence: f32,
}

/// A candidate that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Admitted {
    /// The candidate's key.
    pub key: u64,
    /// The class under which it enters the loss.
    pub label: u32,
}

/// Bytes that cannot be candidates.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("rank {rank} sent {bytes} bytes of candidates, which is not a multiple of {BYTES}")]
pub struct CandidateError {
    /// Who sent them.
    pub rank: usize,
    /// How many.
    pub bytes: usize,
}

/// Writes candidates one after the other.
pub fn to_bytes(candidates: &[Candidate]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(candidates.len() * BYTES);
    for candidate in candidates {
        bytes.extend_from_slice(&candidate.key.to_le_bytes());
        bytes.extend_from_slice(&candidate.label.to_le_bytes());
        bytes.extend_from_slice(&candidate.confidence.to_bits().to_le_bytes());
    }
    bytes
}

/// Reads what every rank sent, indexed by rank, into one list.
pub fn from_ranks(gathered: &[Vec<u8>]) -> Result<Vec<Candidate>, CandidateError> {
    let total: usize = gathered.iter().map(Vec::len).sum();
    let mut candidates = Vec::with_capacity(total / BYTES);
    for (rank, bytes) in gathered.iter().enumerate() {
        let (records, rest) = bytes.as_chunks::<BYTES>();
        if !rest.is_empty() {
            return Err(CandidateError { rank, bytes: bytes.len() });
        }
        candidates.extend(records.iter().map(read));
    }
    Ok(candidates)
}

fn read(record: &[u8; BYTES]) -> Candidate {
    let [k0, k1, k2, k3, k4, k5, k6, k7, l0, l1, l2, l3, c0, c1, c2, c3] = *record;
    Candidate {
        key: u64::from_le_bytes([k0, k1, k2, k3, k4, k5, k6, k7]),
        label: u32::from_le_bytes([l0, l1, l2, l3]),
        confidence: f32::from_bits(u32::from_le_bytes([c0, c1, c2, c3])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn candidates_survive_their_journey(
            rows in prop::collection::vec((any::<u64>(), any::<u32>(), 0.0_f32..=1.0), 0..50),
            cut in 0_usize..50
        ) {
            let all: Vec<Candidate> = rows.into_iter()
                .map(|(key, label, confidence)| Candidate { key, label, confidence }).collect();
            let (first, second) = all.split_at(cut.min(all.len()));
            let gathered = [to_bytes(first), to_bytes(second)];
            prop_assert_eq!(from_ranks(&gathered).unwrap(), all);
        }
    }

    #[test]
    fn the_layout_is_the_one_in_the_picture() {
        let bytes = to_bytes(&[Candidate { key: 0x0102, label: 3, confidence: 1.0 }]);
        assert_eq!(bytes, [2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0x80, 0x3f]);
    }

    #[test]
    fn a_broken_record_names_its_rank() {
        let error = from_ranks(&[vec![], vec![0; 17]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rank 1 sent 17 bytes of candidates, which is not a multiple of 16"
        );
    }
}
