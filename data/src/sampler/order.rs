//! The order of an epoch, one position at a time.

use super::blocks::Blocks;
use super::keyed::Keyed;
use super::resampled::Resampled;
use crate::random::{Purpose, Stream};

/// Which image stands at each position of an epoch: a permutation of `0..n`, or, where a sampler
/// draws some images again, a map of `0..n` into itself.
///
/// ```
/// use lcsl_data::sampler::EpochOrder;
///
/// let order = EpochOrder::random(1_000_000, 1, 0);
/// assert_eq!(order.at(999_999), EpochOrder::random(1_000_000, 1, 0).at(999_999));
/// assert_eq!(EpochOrder::sequential(10).at(7), 7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochOrder {
    n: u64,
    form: OrderForm,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OrderForm {
    Sequential,
    Random(Box<Keyed>),
    QuasiRandom(Box<Blocks>),
    Resampled(Box<Resampled>),
}

impl EpochOrder {
    /// The random order of epoch `epoch` under `seed`, over `n` images.
    pub fn random(n: u64, seed: u64, epoch: u64) -> Self {
        let stream = Stream::new(seed, Purpose::Order, epoch, 0, 0);
        Self { n, form: OrderForm::Random(Box::new(Keyed::new(n, stream))) }
    }

    /// The quasi-random order of epoch `epoch` under `seed`, over `n` images that lie on disk in
    /// the order of their indices: blocks of neighbours in random order, images shuffled among the
    /// blocks of a window. At any moment an epoch reads from one window alone, front to back, over
    /// all ranks together.
    pub fn quasi_random(n: u64, seed: u64, epoch: u64) -> Self {
        Self { n, form: OrderForm::QuasiRandom(Box::new(Blocks::new(n, seed, epoch))) }
    }

    /// Every position holds the index of the same number.
    pub fn sequential(n: u64) -> Self {
        Self { n, form: OrderForm::Sequential }
    }

    pub(super) fn resampled(resampled: Resampled) -> Self {
        Self { n: resampled.len(), form: OrderForm::Resampled(Box::new(resampled)) }
    }

    /// The number of positions, which is the number of indices too.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// True when there are no positions.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The index at `position`.
    ///
    /// # Panics
    /// When `position` is not below [`EpochOrder::len`].
    pub fn at(&self, position: u64) -> u64 {
        assert!(position < self.n, "position {position} lies outside an epoch of {}", self.n);
        match &self.form {
            OrderForm::Sequential => position,
            OrderForm::Random(keyed) => keyed.at(position),
            OrderForm::QuasiRandom(blocks) => blocks.at(position),
            OrderForm::Resampled(resampled) => resampled.at(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(order: &EpochOrder) -> Vec<u64> {
        (0..order.len()).map(|position| order.at(position)).collect()
    }

    proptest! {
        #[test]
        fn every_index_comes_exactly_once(n in 0_u64..3_000, seed: u64, epoch: u64) {
            let mut indices = all(&EpochOrder::random(n, seed, epoch));
            indices.sort_unstable();
            prop_assert!(indices.into_iter().eq(0..n));
        }

        #[test]
        fn huge_sets_stay_within_bounds(n in 1_u64.., seed: u64, position: u64) {
            prop_assert!(EpochOrder::random(n, seed, 0).at(position % n) < n);
        }
    }

    #[test]
    fn sequential_is_the_identity() {
        assert_eq!(all(&EpochOrder::sequential(4)), [0, 1, 2, 3]);
    }

    #[test]
    fn seed_and_epoch_change_the_order() {
        let order = |seed, epoch| all(&EpochOrder::random(100, seed, epoch));
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
    }

    /// Chi-squared over where each position lands, for sizes around powers of two and for tiny
    /// sets.
    #[test]
    fn every_index_is_equally_likely_at_every_position() {
        for n in [2_u64, 3, 5, 8, 17, 33] {
            let epochs = 1_000 * n;
            let mut seen = vec![0_u64; (n * n) as usize];
            for epoch in 0..epochs {
                let order = EpochOrder::random(n, 1, epoch);
                for position in 0..n {
                    seen[(position * n + order.at(position)) as usize] += 1;
                }
            }
            let expected = epochs as f64 / n as f64;
            let chi_squared: f64 =
                seen.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
            let freedom = ((n - 1) * (n - 1)) as f64;
            let bound = freedom + 4.5 * (2.0 * freedom).sqrt() + 8.0;
            assert!(chi_squared < bound, "n {n}: {chi_squared} against {freedom}");
        }
    }

    /// Uniform positions do not make uniform orders. Sets this small leave a round two bits or
    /// three to work with.
    #[test]
    fn every_order_of_a_small_set_is_equally_likely() {
        for (n, orders) in [(3, 6), (4, 24), (5, 120)] {
            let mut seen = std::collections::BTreeMap::new();
            for epoch in 0..orders * 400 {
                *seen.entry(all(&EpochOrder::random(n, 1, epoch))).or_insert(0_u64) += 1;
            }
            assert_eq!(seen.len() as u64, orders, "orders of {n}");
            let chi_squared: f64 =
                seen.values().map(|&count| (count as f64 - 400.0).powi(2) / 400.0).sum();
            let freedom = (orders - 1) as f64;
            assert!(
                chi_squared < freedom + 4.5 * (2.0 * freedom).sqrt() + 8.0,
                "{n}: {chi_squared}"
            );
        }
    }

    /// Computed by another implementation, in Python. Any change here changes what every seed
    /// means.
    #[test]
    fn the_order_of_a_seed_never_changes() {
        assert_eq!(all(&EpochOrder::random(10, 1, 0)), [2, 6, 8, 5, 1, 9, 0, 4, 7, 3]);
        assert_eq!(all(&EpochOrder::random(10, 1, 1)), [7, 2, 1, 9, 8, 6, 5, 3, 0, 4]);
        let order = EpochOrder::random(50_000, 1, 3);
        assert_eq!([0, 1, 2, 49_999].map(|p| order.at(p)), [42_421, 12_025, 39_188, 25_662]);
        let order = EpochOrder::random(1_000_000_000_000, 7, 2);
        assert_eq!([0, 999_999_999_999].map(|p| order.at(p)), [408_790_542_988, 147_319_029_621]);
    }

    /// Fixed points and successors of a random permutation are Poisson with mean 1: an order that
    /// keeps neighbours together would feed correlated batches, although each position alone
    /// looks uniform.
    #[test]
    fn neighbours_are_torn_apart() {
        let order = all(&EpochOrder::random(50_000, 3, 7));
        let fixed = order.iter().enumerate().filter(|&(i, &index)| i as u64 == index).count();
        let successors = order.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
        assert!(fixed < 8 && successors < 8, "{fixed} fixed points, {successors} successors");
    }
}
