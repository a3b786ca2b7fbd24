//! Which positions of an epoch belong to which step and logical rank.
//!
//! A position is a place in the epoch's global order and, at the same time, the key of the
//! candidate that may arise there.

use std::ops::Range;

use lcsl_data::share;

/// How an epoch is cut into global batches, and each batch into logical ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochPlan {
    /// Training images in the epoch.
    pub images: u64,
    /// Images of a global batch; the last one may be smaller.
    pub batch: u64,
    /// Logical ranks that share each batch.
    pub logical_ranks: usize,
}

impl EpochPlan {
    /// Optimiser steps of one epoch.
    pub fn steps(&self) -> u64 {
        self.images.div_ceil(self.batch)
    }

    /// Positions of the global batch of `step`, which counts from 0 in the epoch.
    pub fn batch_at(&self, step: u64) -> Range<u64> {
        let start = (step * self.batch).min(self.images);
        start..(start + self.batch).min(self.images)
    }

    /// Positions of that batch which `logical_rank` owns; none when there are fewer images than
    /// logical ranks.
    pub fn positions_of(&self, step: u64, logical_rank: usize) -> Range<u64> {
        let batch = self.batch_at(step);
        let share =
            share::range(batch.end - batch.start, self.logical_ranks as u64, logical_rank as u64);
        batch.start + share.start..batch.start + share.end
    }
}

/// The logical ranks that a rank runs, in order: a block of equal size for each rank of the world,
/// which divides them.
pub fn block(logical_ranks: usize, world_size: usize, rank: usize) -> Range<usize> {
    let size = logical_ranks / world_size;
    rank * size..(rank + 1) * size
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_epoch_is_covered_once_and_in_order(
            images in 1_u64..500, batch in 1_u64..70, power in 0_u32..5, divisor in 0_u32..5
        ) {
            let logical_ranks = 1 << power;
            let world = 1 << divisor.min(power);
            let plan = EpochPlan { images, batch, logical_ranks };
            let mut next = 0;
            for step in 0..plan.steps() {
                for rank in 0..world {
                    for logical in block(logical_ranks, world, rank) {
                        let share = plan.positions_of(step, logical);
                        prop_assert_eq!(share.start, next);
                        next = share.end;
                    }
                }
            }
            prop_assert_eq!(next, images);
        }
    }

    #[test]
    fn a_last_batch_smaller_than_the_world_leaves_logical_ranks_empty() {
        let plan = EpochPlan { images: 66, batch: 64, logical_ranks: 4 };
        let shares: Vec<_> = (0..4).map(|logical| plan.positions_of(1, logical)).collect();
        assert_eq!(shares, [64..65, 65..66, 66..66, 66..66]);
    }
}
