//! The samplers by name.

use std::sync::Arc;

use super::EpochOrder;
use super::resampled::{Classes, FRACTION_BITS, Mixture, Resampled};

/// How an epoch draws from the training images.
///
/// The first three draw each image once. The others draw as often, but share the draws out among
/// classes: a class of n images, in a set of N images and C classes that have any, gets its share
/// of N to less than one image, and each of its images comes equally often to one draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerKind {
    /// In a new random order each epoch.
    Random,
    /// In a random order of neighbouring images: [`EpochOrder::quasi_random`].
    QuasiRandom,
    /// In the order of the training set.
    Sequential,
    /// Shares in proportion to 1.
    ClassBalanced,
    /// Shares in proportion to √n (Mahajan et al., "Exploring the limits of weakly supervised
    /// pretraining", ECCV 2018).
    SquareRoot,
    /// Shares in proportion to (1 − t/T)·n/N + (t/T)/C in epoch t, from 0, of T (Kang et al.,
    /// "Decoupling representation and classifier for long-tailed recognition", ICLR 2020,
    /// section 3).
    Progressive {
        /// The epoch of the run in which t is 0.
        first: u64,
        /// T, at least 1. Epochs beyond the last are balanced.
        epochs: u64,
    },
    /// Shares in proportion to 1/n (Zhou et al., "BBN: bilateral-branch network with cumulative
    /// learning for long-tailed visual recognition", CVPR 2020, section 4.2).
    Reversed,
}

/// Makes the order of each epoch. Cheap to clone.
///
/// ```
/// use lcsl_data::sampler::{SamplerKind, Sampler};
///
/// // Places 0 to 5 hold images of class 0, place 6 the only one of class 1.
/// let sampler = Sampler::new(SamplerKind::ClassBalanced, [0, 0, 0, 0, 0, 0, 1].into_iter(), 1);
/// let order = sampler.order(0);
/// let rare = (0..order.len()).filter(|&position| order.at(position) == 6).count();
/// assert_eq!(rare, 4);
/// ```
#[derive(Clone, Debug)]
pub struct Sampler {
    kind: SamplerKind,
    n: u64,
    /// Empty where classes make no difference.
    classes: Arc<Classes>,
    seed: u64,
}

impl Sampler {
    /// The sampler of a training set whose image at place i has the i-th of `labels`.
    pub fn new(kind: SamplerKind, labels: impl Iterator<Item = u32> + Clone, seed: u64) -> Self {
        let weight: fn(u64, u64) -> u128 = match kind {
            SamplerKind::Random | SamplerKind::QuasiRandom | SamplerKind::Sequential => {
                let classes = Arc::new(Classes::new(std::iter::empty(), |_, _| 0));
                return Self { kind, n: labels.count() as u64, classes, seed };
            }
            SamplerKind::ClassBalanced | SamplerKind::Progressive { .. } => |_, _| 1,
            SamplerKind::SquareRoot => {
                |count, _| (u128::from(count) << (2 * FRACTION_BITS)).isqrt()
            }
            SamplerKind::Reversed => {
                |count, largest| (u128::from(largest) << FRACTION_BITS) / u128::from(count)
            }
        };
        let classes = Arc::new(Classes::new(labels, weight));
        Self { kind, n: classes.images(), classes, seed }
    }

    /// The order of epoch `epoch`, from 0.
    pub fn order(&self, epoch: u64) -> EpochOrder {
        let mixture = match self.kind {
            SamplerKind::Random => return EpochOrder::random(self.n, self.seed, epoch),
            SamplerKind::QuasiRandom => return EpochOrder::quasi_random(self.n, self.seed, epoch),
            SamplerKind::Sequential => return EpochOrder::sequential(self.n),
            SamplerKind::ClassBalanced | SamplerKind::SquareRoot | SamplerKind::Reversed => {
                Mixture { image: 0, weight: 1 }
            }
            // The shares of the paper times T·N·C: whole numbers, and exact.
            SamplerKind::Progressive { first, epochs } => {
                let epoch = epoch.saturating_sub(first).min(epochs);
                Mixture {
                    image: u128::from(epochs - epoch) * self.classes.weight(),
                    weight: u128::from(epoch) * u128::from(self.n),
                }
            }
        };
        EpochOrder::resampled(Resampled::new(self.classes.clone(), mixture, self.seed, epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share;
    use proptest::prelude::*;

    /// Whole batches up to a resume point and from there on, each cut over the ranks of a world;
    /// two worlds, as a run may be resumed on another number of ranks.
    fn read(order: &EpochOrder, batch: u64, worlds: [u64; 2], resume: u64) -> Vec<u64> {
        let mut indices = Vec::new();
        let steps = order.len().div_ceil(batch);
        for step in 0..steps {
            let world = worlds[usize::from(step >= resume % steps.max(1))];
            let (start, end) = (step * batch, (step * batch + batch).min(order.len()));
            // The last rank first: an order may be asked in any order.
            for rank in (0..world).rev() {
                let part = share::range(end - start, world, rank);
                indices.extend((start + part.start..start + part.end).map(|p| order.at(p)));
            }
        }
        indices
    }

    fn labels(counts: &[u64]) -> Vec<u32> {
        let of_class = |(class, &count): (usize, &u64)| vec![class as u32; count as usize];
        let mut labels: Vec<u32> = counts.iter().enumerate().flat_map(of_class).collect();
        crate::random::Stream::new(3, crate::random::Purpose::Storage, 0, 0, 0)
            .shuffle(&mut labels);
        labels
    }

    fn kinds(epochs: u64) -> impl Strategy<Value = SamplerKind> {
        prop::sample::select(vec![
            SamplerKind::ClassBalanced,
            SamplerKind::SquareRoot,
            SamplerKind::Progressive { first: 0, epochs },
            SamplerKind::Reversed,
        ])
    }

    /// The shares as the papers write them, in floating-point numbers.
    fn targets(kind: SamplerKind, counts: &[u64], epoch: u64) -> Vec<f64> {
        let n = counts.iter().sum::<u64>() as f64;
        let present = counts.iter().filter(|&&count| count > 0).count() as f64;
        if present == 0.0 {
            return vec![0.0; counts.len()]; // nothing to share out
        }
        let weight = |&count: &u64| {
            let count = count as f64;
            match kind {
                _ if count == 0.0 => 0.0,
                SamplerKind::ClassBalanced => 1.0,
                SamplerKind::SquareRoot => count.sqrt(),
                SamplerKind::Reversed => 1.0 / count,
                SamplerKind::Progressive { epochs, .. } => {
                    let t = epoch.min(epochs) as f64 / epochs as f64;
                    (1.0 - t) * count / n + t / present
                }
                SamplerKind::Random | SamplerKind::QuasiRandom | SamplerKind::Sequential => count,
            }
        };
        let total: f64 = counts.iter().map(weight).sum();
        counts.iter().map(|count| n * weight(count) / total).collect()
    }

    proptest! {
        /// `PROPTEST_CASES=1000000` runs the million cases of the benchmarks' page.
        #[test]
        fn over_all_ranks_nothing_is_missing_and_nothing_comes_twice(
            n in 0_u64..300,
            kind in prop::sample::select(vec![SamplerKind::Random, SamplerKind::QuasiRandom, SamplerKind::Sequential]),
            (batch, resume) in (1_u64..130, 0_u64..300),
            worlds in [1_u64..=64, 1_u64..=64],
            (seed, epoch) in (any::<u64>(), any::<u64>()),
        ) {
            let sampler = Sampler::new(kind, (0..n).map(|_| 0), seed);
            let mut indices = read(&sampler.order(epoch), batch, worlds, resume);
            indices.sort_unstable();
            prop_assert!(indices.into_iter().eq(0..n));
        }

        #[test]
        fn classes_get_their_targets_and_images_their_turns(
            counts in prop::collection::vec(0_u64..60, 1..12),
            (kind, epoch) in (1_u64..9).prop_flat_map(|epochs| (kinds(epochs), 0..epochs + 2)),
            (batch, resume) in (1_u64..130, 0_u64..300),
            worlds in [1_u64..=64, 1_u64..=64],
            seed: u64,
        ) {
            let labels = labels(&counts);
            let sampler = Sampler::new(kind, labels.iter().copied(), seed);
            let mut turns = vec![0_u64; labels.len()];
            for index in read(&sampler.order(epoch), batch, worlds, resume) {
                turns[index as usize] += 1;
            }
            prop_assert_eq!(turns.iter().sum::<u64>(), labels.len() as u64);
            for (class, target) in targets(kind, &counts, epoch).into_iter().enumerate() {
                let of_class = || {
                    turns.iter().zip(&labels).filter(|&(_, &label)| label as usize == class)
                };
                let drawn: u64 = of_class().map(|(&turns, _)| turns).sum();
                prop_assert!((drawn as f64 - target).abs() < 1.0 + 1e-6, "{drawn}, not {target}");
                for (&turns, _) in of_class() {
                    let (least, more) = (drawn / counts[class], drawn % counts[class]);
                    prop_assert!(turns == least || (more > 0 && turns == least + 1));
                }
            }
        }
    }

    #[test]
    fn progressive_goes_from_the_images_to_the_classes() {
        let labels = labels(&[90, 10]);
        let sampler = Sampler::new(
            SamplerKind::Progressive { first: 0, epochs: 4 },
            labels.iter().copied(),
            1,
        );
        let rare = |epoch| {
            let order = sampler.order(epoch);
            (0..100).filter(|&position| labels[order.at(position) as usize] == 1).count()
        };
        assert_eq!([0, 1, 2, 3, 4, 9].map(rare), [10, 20, 30, 40, 50, 50]);
    }

    #[test]
    fn epochs_and_seeds_draw_anew() {
        let order = |seed, epoch| {
            let labels = labels(&[40, 4]);
            let order = Sampler::new(SamplerKind::Reversed, labels.into_iter(), seed).order(epoch);
            (0..44).map(|position| order.at(position)).collect::<Vec<_>>()
        };
        assert_eq!(order(1, 1), order(1, 1));
        assert_ne!(order(1, 1), order(1, 2));
        assert_ne!(order(1, 1), order(2, 1));
    }

    /// Products of weights, images and epochs come near the end of 128 bits.
    #[test]
    fn the_largest_sets_do_not_overflow() {
        let counts: Vec<u64> =
            (0..8_142).map(|class| if class == 0 { 50_000 } else { 1 }).collect();
        let labels = labels(&counts);
        for kind in [
            SamplerKind::Reversed,
            SamplerKind::SquareRoot,
            SamplerKind::Progressive { first: 0, epochs: 1_000_000 },
        ] {
            let order = Sampler::new(kind, labels.iter().copied(), 1).order(999_999);
            assert!(order.at(order.len() - 1) < order.len());
        }
    }
}
