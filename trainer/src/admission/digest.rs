//! One number for every admission decision of a run.

use serde::{Deserialize, Serialize};

use super::Admitted;

/// A chain over the steps of a run: d ← blake3(d ‖ epoch ‖ step ‖ n ‖ admitted), starting from 32
/// zero bytes. Epoch, step and n are u64, each admitted candidate its key (u64) and label (u32),
/// all little-endian; the step counts from 0 in its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AdmissionDigest([u8; 32]);

impl AdmissionDigest {
    /// Takes the decisions of one step, in the order of their keys.
    pub fn record(&mut self, epoch: u64, step: u64, admitted: &[Admitted]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        for number in [epoch, step, admitted.len() as u64] {
            hasher.update(&number.to_le_bytes());
        }
        for one in admitted {
            hasher.update(&one.key.to_le_bytes());
            hasher.update(&one.label.to_le_bytes());
        }
        self.0 = *hasher.finalize().as_bytes();
    }

    /// The digest as 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_depends_on_every_part_of_every_step() {
        let digest = |steps: &[(u64, u64, &[Admitted])]| {
            let mut digest = AdmissionDigest::default();
            for (epoch, step, admitted) in steps {
                digest.record(*epoch, *step, admitted);
            }
            digest.to_hex()
        };
        let one = [Admitted { key: 7, label: 2 }];
        let base = digest(&[(0, 0, &[]), (0, 1, &one)]);
        assert_eq!(base, digest(&[(0, 0, &[]), (0, 1, &one)]));
        assert_ne!(base, digest(&[(0, 0, &one), (0, 1, &[])]));
        assert_ne!(base, digest(&[(0, 0, &[]), (1, 1, &one)]));
        assert_ne!(base, digest(&[(0, 0, &[]), (0, 1, &[Admitted { key: 7, label: 3 }])]));
    }
}
