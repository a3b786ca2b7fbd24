//! Sums whose result does not depend on how many ranks share the work.
//!
//! Floating-point addition is not associative, so the order of a sum is part of its value. With
//! `--deterministic` the order is a binary tree over *logical* ranks, whatever the world size:
//!
//! ```text
//!            (0+1)+(2+3)                V = 4 logical ranks
//!           /           \               W = 1: one process adds all of it, like a binary counter
//!        0+1             2+3            W = 2: each process makes one half, one exchange joins them
//!       /   \           /   \           W = 4: two exchanges
//!      0     1         2     3
//! ```
//!
//! Inside a process [`BinaryCounter`] adds its block of leaves, holding at most log₂(block) + 1
//! partial sums at a time; between processes [`sum_over_ranks`] goes on with the same tree by
//! recursive doubling.

use crate::communicator::{CollectiveError, Communicator, Values};

/// Adds a sequence of parts in the shape of a binary tree.
///
/// Slot k holds the sum of 2ᵏ consecutive parts or nothing, as the digits of a binary counter do.
#[derive(Debug)]
pub struct BinaryCounter<T> {
    slots: Vec<Option<T>>,
}

impl<T> Default for BinaryCounter<T> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<T> BinaryCounter<T> {
    /// Takes the next part. `join(earlier, later)` must leave the sum in `earlier`.
    pub fn push(&mut self, part: T, mut join: impl FnMut(&mut T, T)) {
        let mut carry = part;
        for slot in &mut self.slots {
            match slot.take() {
                None => {
                    *slot = Some(carry);
                    return;
                }
                Some(mut earlier) => {
                    join(&mut earlier, carry);
                    carry = earlier;
                }
            }
        }
        self.slots.push(Some(carry));
    }

    /// The sum of all parts, or nothing when there were none. With a power of two of parts this is
    /// one complete tree.
    pub fn finish(self, mut join: impl FnMut(&mut T, T)) -> Option<T> {
        self.slots.into_iter().flatten().reduce(|later, mut earlier| {
            join(&mut earlier, later);
            earlier
        })
    }
}

/// Who decides the order of a sum over ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SumOrder {
    /// The library: fastest, equal on all ranks, but another world size may round differently.
    Library,
    /// The tree of this module: the world size must be a power of two.
    Tree,
}

/// Sums element by element over all ranks, in place, in the given order. Collective.
///
/// # Errors
/// [`CollectiveError::Unsupported`] for [`SumOrder::Tree`] in a world that is not a power of two; else
/// what the world reports.
pub fn sum_over_ranks(
    world: &mut dyn Communicator,
    order: SumOrder,
    mut values: Values<'_>,
) -> Result<(), CollectiveError> {
    let size = world.world_size();
    if order == SumOrder::Library || size == 1 {
        return world.all_reduce_sum(values);
    }
    if !size.is_power_of_two() {
        return Err(CollectiveError::Unsupported {
            what: format!("an ordered sum needs a power of two of ranks, not {size}"),
        });
    }
    let mut received = vec![0; values.as_bytes().len()];
    let mut distance = 1;
    while distance < size {
        let peer = world.rank() ^ distance;
        world.exchange(peer, values.as_bytes(), &mut received)?;
        // a + b and b + a are equal bits, so both partners hold the same partial sum without
        // agreeing on who comes first.
        values.add_bytes(&received, peer)?;
        distance *= 2;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // equal bits are what is promised
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counter_sum(parts: &[f64]) -> Option<f64> {
        let mut counter = BinaryCounter::default();
        for part in parts {
            counter.push(*part, |earlier, later| *earlier += later);
        }
        counter.finish(|earlier, later| *earlier += later)
    }

    fn tree_sum(parts: &[f64]) -> f64 {
        if let [one] = parts {
            return *one;
        }
        let (left, right) = parts.split_at(parts.len() / 2);
        tree_sum(left) + tree_sum(right)
    }

    proptest! {
        #[test]
        fn the_counter_adds_in_the_shape_of_a_tree(
            power in 0_u32..6, seed in prop::collection::vec(-1e9_f64..1e9, 64)
        ) {
            let parts = &seed[..1 << power];
            prop_assert_eq!(counter_sum(parts).unwrap().to_bits(), tree_sum(parts).to_bits());
        }

        #[test]
        fn any_number_of_parts_is_added_once(parts in prop::collection::vec(0_u32..1_000_000, 0..70)) {
            let exact: f64 = parts.iter().map(|part| f64::from(*part)).sum();
            let parts: Vec<f64> = parts.into_iter().map(f64::from).collect();
            prop_assert_eq!(counter_sum(&parts).unwrap_or(0.0), exact);
        }

        #[test]
        fn the_world_size_does_not_change_the_sum(leaves in prop::collection::vec(-1e9_f32..1e9, 8)) {
            let alone = sum_in_a_world_of(1, &leaves);
            for size in [2, 4, 8] {
                prop_assert_eq!(sum_in_a_world_of(size, &leaves), alone);
            }
        }
    }

    /// The sum of eight leaves that `size` ranks share, as bits; asserts that all ranks hold the
    /// same.
    fn sum_in_a_world_of(size: usize, leaves: &[f32]) -> u32 {
        let block = leaves.len() / size;
        let ranks: Vec<_> = crate::threads::world(size)
            .into_iter()
            .enumerate()
            .map(|(rank, mut world)| {
                let mine = leaves[rank * block..(rank + 1) * block].to_vec();
                std::thread::spawn(move || {
                    let mut counter = BinaryCounter::default();
                    for leaf in mine {
                        counter.push(leaf, |earlier, later| *earlier += later);
                    }
                    let mut sum = [counter.finish(|earlier, later| *earlier += later).unwrap()];
                    sum_over_ranks(&mut world, SumOrder::Tree, Values::F32(&mut sum)).unwrap();
                    sum[0].to_bits()
                })
            })
            .collect();
        let sums: Vec<u32> = ranks.into_iter().map(|rank| rank.join().unwrap()).collect();
        assert!(sums.iter().all(|sum| *sum == sums[0]), "ranks disagree: {sums:?}");
        sums[0]
    }

    #[test]
    fn a_tree_over_three_ranks_is_refused() {
        let ranks: Vec<_> = crate::threads::world(3)
            .into_iter()
            .map(|mut world| {
                std::thread::spawn(move || {
                    sum_over_ranks(&mut world, SumOrder::Tree, Values::F32(&mut [1.0]))
                        .unwrap_err()
                        .to_string()
                })
            })
            .collect();
        for rank in ranks {
            assert_eq!(rank.join().unwrap(), "an ordered sum needs a power of two of ranks, not 3");
        }
    }
}
