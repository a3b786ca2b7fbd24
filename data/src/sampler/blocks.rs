//! Quasi-random order: random enough to learn from, local enough to read from a disk.
//!
//! ```text
//! on disk   | block 0 | block 1 | block 2 | block 3 | block 4 | 5 |       the last may be short
//! slots     | block 3 | block 0 | 5 | block 4 | block 1 | block 2 |       blocks in random order
//! windows   |      window 0         |          window 1           |       shuffled inside
//! ```
//!
//! Only where the short block goes takes thought: its slot is drawn first, and the others are
//! permuted over the rest, so that no permutation has to be inverted to find where a slot begins.

use super::keyed::Keyed;
use crate::random::{Purpose, Stream};

/// Images of a block: photographs of 100 KB make a read of 13 MB, long beside a seek.
const BLOCK: u64 = 128;

/// Blocks of a window: 4,096 images are shuffled, so a batch of 64 comes from most of them.
const WINDOW: u64 = 32;

/// See [`super::EpochOrder::quasi_random`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    n: u64,
    block: u64,
    window: u64,
    /// The slot of the last block, which may be short.
    last: u64,
    /// The order of the other blocks in the other slots.
    others: Keyed,
    seed: u64,
    epoch: u64,
}

impl Blocks {
    pub(super) fn new(n: u64, seed: u64, epoch: u64) -> Self {
        Self::with_sizes(n, (BLOCK, WINDOW), seed, epoch)
    }

    fn with_sizes(n: u64, (block, window): (u64, u64), seed: u64, epoch: u64) -> Self {
        let mut stream = Stream::new(seed, Purpose::Blocks, epoch, 0, 0);
        let blocks = n.div_ceil(block).max(1);
        let last = stream.below(blocks);
        Self { n, block, window, last, others: Keyed::new(blocks - 1, stream), seed, epoch }
    }

    /// The record at `position`, which must be below n.
    pub(super) fn at(&self, position: u64) -> u64 {
        let window = self.slot_of(position) / self.window;
        let start = self.start_of(window * self.window);
        let end = self.start_of((window + 1) * self.window);
        let stream = Stream::new(self.seed, Purpose::Blocks, self.epoch, 1, window);
        let place = start + Keyed::new(end - start, stream).at(position - start);
        let slot = self.slot_of(place);
        self.block_at(slot) * self.block + (place - self.start_of(slot))
    }

    fn blocks(&self) -> u64 {
        self.n.div_ceil(self.block)
    }

    /// By how many images the last block is short.
    fn missing(&self) -> u64 {
        self.blocks() * self.block - self.n
    }

    /// Images in the slots before `slot`; all of them where there is no such slot.
    fn start_of(&self, slot: u64) -> u64 {
        let slot = slot.min(self.blocks());
        slot * self.block - if slot > self.last { self.missing() } else { 0 }
    }

    /// The slot that holds the image at `place` of the slots' images one after the other.
    fn slot_of(&self, place: u64) -> u64 {
        let after_last = self.start_of(self.last + 1);
        let place = if place < after_last { place } else { place + self.missing() };
        place / self.block
    }

    fn block_at(&self, slot: u64) -> u64 {
        match slot.cmp(&self.last) {
            std::cmp::Ordering::Less => self.others.at(slot),
            std::cmp::Ordering::Equal => self.blocks() - 1,
            std::cmp::Ordering::Greater => self.others.at(slot - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_record_comes_once_whatever_the_sizes(
            n in 0_u64..400, block in 1_u64..20, window in 1_u64..9, seed: u64, epoch: u64,
        ) {
            let blocks = Blocks::with_sizes(n, (block, window), seed, epoch);
            let mut records: Vec<u64> = (0..n).map(|position| blocks.at(position)).collect();
            records.sort_unstable();
            prop_assert!(records.into_iter().eq(0..n));
        }

        #[test]
        fn huge_sets_stay_within_bounds(n in 1_u64..1 << 60, seed: u64, position: u64) {
            prop_assert!(Blocks::new(n, seed, 0).at(position % n) < n);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))] // each reads a window of thousands

        #[test]
        fn a_window_reads_from_its_own_blocks_alone(
            n in 1_u64..20_000, seed: u64, epoch: u64, position: u64,
        ) {
            let blocks = Blocks::new(n, seed, epoch);
            let window = blocks.slot_of(position % n) / WINDOW;
            let range = blocks.start_of(window * WINDOW)..blocks.start_of((window + 1) * WINDOW);
            let read: std::collections::BTreeSet<u64> =
                range.map(|position| blocks.at(position) / BLOCK).collect();
            prop_assert!(read.len() as u64 <= WINDOW);
        }
    }

    #[test]
    fn every_block_comes_in_every_slot() {
        let mut seen = std::collections::BTreeSet::new();
        for epoch in 0..200 {
            let blocks = Blocks::with_sizes(18, (4, 1), 1, epoch);
            for slot in 0..5 {
                seen.insert((slot, blocks.block_at(slot)));
            }
        }
        assert_eq!(seen.len(), 25);
    }

    #[test]
    fn images_of_a_window_are_torn_apart() {
        let blocks = Blocks::new(50_000, 3, 7);
        let order: Vec<u64> = (0..50_000).map(|position| blocks.at(position)).collect();
        let successors = order.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
        // 13 windows of 4,096 images: a random order of each has about one such pair.
        assert!(successors < 40, "{successors} successors");
    }
}
