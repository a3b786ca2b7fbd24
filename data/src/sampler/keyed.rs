//! A random order without an array: a keyed permutation.
//!
//! A Feistel network (Luby and Rackoff, "How to construct pseudorandom permutations from
//! pseudorandom functions", 1988) over the smallest power of two that holds all positions. A result
//! outside the set is put through the network again until it falls inside ("cycle walking", Black
//! and Rogaway, "Ciphers with arbitrary finite domains", 2002); as more than half of all results
//! are inside, this takes fewer than two turns on average.

use crate::random::Stream;

/// Each round changes one half of the bits, so in a large set each half changes six times: twice
/// what makes such an order indistinguishable from a random one.
const ROUNDS: usize = 12;

/// In a small set a round has few bits to work with, and it takes more rounds until all orders are
/// equally likely: after 12 the 120 orders of five images still differ by a tenth.
const ROUNDS_SMALL: usize = 24;

/// A set is small when its positions have no more bits than this.
const SMALL_BITS: u32 = 8;

/// A random permutation of `0..n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keyed {
    n: u64,
    network: Network,
}

impl Keyed {
    /// The permutation whose keys are the next words of `stream`.
    pub(super) fn new(n: u64, mut stream: Stream) -> Self {
        let bits = n.saturating_sub(1).checked_ilog2().map_or(0, |top_bit| top_bit + 1);
        let (low_bits, high_bits) = (bits.div_ceil(2), bits / 2);
        let rounds = if bits <= SMALL_BITS { ROUNDS_SMALL } else { ROUNDS };
        let mut keys = [0; ROUNDS_SMALL];
        keys[..rounds].fill_with(|| stream.next_u64());
        Self { n, network: Network { low_bits, high_bits, rounds, keys } }
    }

    /// Where `position`, which must be below n, goes. (From outside, the walk need not end.)
    pub(super) fn at(&self, position: u64) -> u64 {
        debug_assert!(position < self.n);
        let mut index = self.network.permute(position);
        while index >= self.n {
            index = self.network.permute(index);
        }
        index
    }
}

/// A permutation of `0..2^(low_bits + high_bits)`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    low_bits: u32,
    high_bits: u32,
    rounds: usize,
    keys: [u64; ROUNDS_SMALL],
}

impl Network {
    fn permute(&self, value: u64) -> u64 {
        // Neither half is wider than 32 bits, so the masks cannot overflow.
        let low_mask = (1 << self.low_bits) - 1;
        let high_mask = (1 << self.high_bits) - 1;
        let (mut low, mut high) = (value & low_mask, value >> self.low_bits);
        for keys in self.keys[..self.rounds].chunks_exact(2) {
            low ^= mix(high ^ keys[0]) & low_mask;
            high ^= mix(low ^ keys[1]) & high_mask;
        }
        high << self.low_bits | low
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014), in Stafford's variant 13: every bit of the input reaches every bit of the
/// output.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
