//! Random numbers that belong to a place, not to a thread.
//!
//! A [`Stream`] is opened where a random decision is made and dropped right after. It is named by a
//! seed, a [`Purpose`] and three coordinates, for example (seed, `Augment`, epoch, position, view);
//! two streams of different names have nothing in common, so there is no state that the number of
//! threads or ranks could disturb.
//!
//! The key stream is `ChaCha` with 8 rounds (Bernstein, "`ChaCha`, a variant of Salsa20", 2008),
//! 64-bit block counter:
//!
//! ```text
//! key     32 bytes   seed u64 | purpose u64 | a u64 | b u64     each little-endian
//! nonce    8 bytes   c u64                                      little-endian
//! words              the 32-bit words of blocks 0, 1, 2, ... in order
//! ```
//!
//! Only the cipher itself comes from a crate, and a standard fixes it. Everything built on its
//! words is written here, so that no new version of a dependency can change an order, a crop or an
//! initial weight.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for. Streams of different purposes are independent even where their coordinates
/// agree.
///
/// The numbers are part of every stream's name: a number is never changed, nor used again for
/// something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// The order of an epoch: (epoch, 0, 0).
    Order = 1,
    /// Which images of a class a long-tailed selection keeps: (class, 0, 0).
    Selection = 2,
    /// Crop and mirror image of one drawn image: (epoch, position, view).
    Augment = 3,
    /// The mixing coefficient λ of a step: (epoch, step, 0).
    Mixup = 4,
    /// Which image each image of a logical rank is mixed with: (epoch, step, logical rank).
    Permutation = 5,
    /// The initial weights: (number of the parameter, 0, 0).
    Weights = 6,
    /// The images of the synthetic dataset: (split of the dataset, class, number of the image).
    Synthetic = 7,
    /// The order in which a preparation stores training images: (0, 0, 0).
    Storage = 20,
    /// The quasi-random order of an epoch: (epoch, 0, 0) for the blocks, (epoch, 1, window) inside.
    Blocks = 21,
    /// In which order a resampling epoch draws the images of a class: (epoch, class, lap).
    Resampling = 22,
    /// Seeds of the streams of unlabelled images: (0 for their order, 1 for the weak view, 2 for the strong one; 0, 0).
    Unlabelled = 23,
}

/// A stream of random numbers; see the module's documentation for its exact definition.
///
/// ```
/// use lcsl_data::random::{Purpose, Stream};
///
/// let mut first = Stream::new(1, Purpose::Mixup, 0, 7, 0);
/// let mut again = Stream::new(1, Purpose::Mixup, 0, 7, 0);
/// assert_eq!(first.unit().to_bits(), again.unit().to_bits());
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    words: ChaCha8Rng,
    /// The second value of the last Box-Muller pair, if it has not been handed out.
    spare_normal: Option<f64>,
}

impl Stream {
    /// Opens the stream named by `seed`, `purpose` and the coordinates `a`, `b`, `c` at its
    /// beginning.
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64, c: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, part) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
            bytes.copy_from_slice(&part.to_le_bytes());
        }
        let mut words = ChaCha8Rng::from_seed(key);
        words.set_stream(c);
        Self { words, spare_normal: None }
    }

    /// The next word of the key stream.
    pub fn next_u32(&mut self) -> u32 {
        self.words.next_u32()
    }

    /// The next two words, the lower half first.
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        let high = u64::from(self.next_u32());
        high << 32 | low
    }

    /// A whole number in `0..n`, each with exactly the same probability.
    ///
    /// The upper half of a 128-bit product, with rejection of the few values that would make small
    /// results likelier (Lemire, "Fast random integer generation in an interval", ACM TOMACS
    /// 2019, algorithm 5).
    ///
    /// # Panics
    /// When `n` is 0: there is no such number.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let rejected = n.wrapping_neg() % n;
            while (product as u64) < rejected {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// A number in `[0, 1)`: one of the 2^53 multiples of 2^-53, each with the same probability.
    pub fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * STEP
    }

    /// A draw from the standard normal distribution.
    ///
    /// Box and Muller ("A note on the generation of random normal deviates", 1958) turn two uniform
    /// numbers into two normal ones; both are used. Logarithm, sine and cosine are those of a
    /// portable library rather than the machine's, whose last bits differ between processors:
    /// initial weights are to be the same everywhere.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * self.unit());
        self.spare_normal = Some(radius * sine);
        radius * cosine
    }

    /// Puts `values` into a random order, each with the same probability (Fisher and Yates, from
    /// the end).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A random permutation of `0..n`, in the integers that tensors are indexed with.
    pub fn permutation(&mut self, n: usize) -> Vec<i64> {
        let mut permutation: Vec<i64> = (0..n as i64).collect();
        self.shuffle(&mut permutation);
        permutation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The zero key and nonce have a published key stream:
    /// draft-strombergson-chacha-test-vectors-01, TC1, 8 rounds, 256-bit key. The purpose makes
    /// a zero key impossible here, so the cipher is asked directly.
    #[test]
    fn the_cipher_is_chacha8() {
        let mut words = ChaCha8Rng::from_seed([0; 32]);
        let bytes: Vec<u8> = (0..4).flat_map(|_| words.next_u32().to_le_bytes()).collect();
        let expected = [
            0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6, 0x7f, 0x5b, 0xb8, 0xe8, 0x1f, 0x09,
            0xa5, 0xa1,
        ];
        assert_eq!(bytes, expected);
    }

    fn example() -> Stream {
        Stream::new(1, Purpose::Augment, 2, 3, 4)
    }

    /// Computed by another implementation, in Python. Any change here changes what every seed
    /// means.
    #[test]
    fn the_numbers_of_a_stream_never_change() {
        let mut stream = example();
        let words: Vec<u32> = (0..40).map(|_| stream.next_u32()).collect();
        assert_eq!(words[..4], [0xfb90_6827, 0xa37a_dd6c, 0x0b60_774a, 0x5748_a118]);
        assert_eq!(words[36..], [0x5620_85a1, 0xace0_76ac, 0x5514_7320, 0xc311_e3be]);
        assert_eq!(example().next_u64(), 0xa37a_dd6c_fb90_6827);

        let mut stream = example();
        let draws: Vec<u64> = (0..12).map(|_| stream.below(10)).collect();
        assert_eq!(draws, [6, 3, 8, 1, 8, 5, 6, 6, 7, 5, 9, 9]);
        // A quarter of all words is rejected for this bound, the third of these draws among them.
        let mut stream = example();
        let draws: Vec<u64> = (0..4).map(|_| stream.below(3 << 62)).collect();
        let expected: [u64; 4] = [
            8_834_978_426_615_778_845,
            4_717_090_503_198_792_055,
            2_167_625_122_675_586_641,
            11_785_090_599_163_337_278,
        ];
        assert_eq!(draws, expected);
        assert_eq!(example().permutation(10), [0, 8, 7, 4, 2, 5, 1, 9, 3, 6]);
    }

    /// Computed by another implementation, in Python; its logarithm and cosine may differ from ours
    /// in the last bit.
    #[test]
    fn the_fractions_of_a_stream_never_change() {
        let mut stream = example();
        let units: [f64; 3] = std::array::from_fn(|_| stream.unit());
        let expected: [f64; 3] =
            [0.638_593_520_266_626_1, 0.340_951_984_758_591_34, 0.808_548_449_209_465_1];
        assert_eq!(units.map(f64::to_bits), expected.map(f64::to_bits));

        let mut stream = example();
        let expected = [
            -0.771_661_582_694_597_5,
            1.200_017_643_493_6,
            1.006_144_557_041_559,
            1.514_567_308_521_89,
        ];
        for expected in expected {
            let normal = stream.normal();
            assert!((normal - expected).abs() < 1e-14, "{normal} instead of {expected}");
        }
    }

    #[test]
    fn numbers_do_not_depend_on_how_the_words_are_grouped() {
        let mut halves = example();
        let mut wholes = example();
        halves.next_u32();
        wholes.next_u32();
        for _ in 0..200 {
            let low = u64::from(halves.next_u32());
            let high = u64::from(halves.next_u32());
            assert_eq!(wholes.next_u64(), high << 32 | low);
        }
    }

    #[test]
    fn every_part_of_a_name_matters() {
        let names: [(u64, Purpose, u64, u64, u64); 6] = [
            (1, Purpose::Augment, 2, 3, 4),
            (9, Purpose::Augment, 2, 3, 4),
            (1, Purpose::Mixup, 2, 3, 4),
            (1, Purpose::Augment, 9, 3, 4),
            (1, Purpose::Augment, 2, 9, 4),
            (1, Purpose::Augment, 2, 3, 9),
        ];
        let first: std::collections::BTreeSet<u64> =
            names.map(|(s, p, a, b, c)| Stream::new(s, p, a, b, c).next_u64()).into();
        assert_eq!(first.len(), names.len());
    }

    #[test]
    fn bounded_draws_are_even() {
        let mut stream = example();
        let mut seen = [0_u32; 6];
        for _ in 0..60_000 {
            seen[stream.below(6) as usize] += 1;
        }
        // The standard deviation of each count is about 91.
        assert!(seen.iter().all(|&count| count.abs_diff(10_000) < 500), "{seen:?}");
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut seen = std::collections::BTreeMap::new();
        for c in 0..24_000 {
            let permutation = Stream::new(1, Purpose::Permutation, 0, 0, c).permutation(4);
            *seen.entry(permutation).or_insert(0_u32) += 1;
        }
        assert_eq!(seen.len(), 24);
        // The standard deviation of each count is about 31.
        assert!(seen.values().all(|count| count.abs_diff(1_000) < 170), "{seen:?}");
    }

    #[test]
    fn normal_draws_have_mean_0_variance_1_and_normal_tails() {
        let mut stream = example();
        let draws: Vec<f64> = (0..100_000).map(|_| stream.normal()).collect();
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let beyond_two = draws.iter().filter(|x| x.abs() > 2.0).count() as f64 / n;
        assert!(mean.abs() < 0.015, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
        assert!((beyond_two - 0.0455).abs() < 0.004, "{beyond_two} beyond two");
    }

    proptest! {
        #[test]
        fn bounds_hold(seed: u64, c: u64, n in 1_u64..) {
            let mut stream = Stream::new(seed, Purpose::Order, 0, 0, c);
            prop_assert!(stream.below(n) < n);
            let unit = stream.unit();
            prop_assert!((0.0..1.0).contains(&unit));
            prop_assert!(stream.normal().is_finite());
        }

        #[test]
        fn a_permutation_holds_every_number_once(c: u64, n in 0_usize..300) {
            let mut permutation = Stream::new(1, Purpose::Permutation, 0, 0, c).permutation(n);
            permutation.sort_unstable();
            prop_assert!(permutation.into_iter().eq(0..n as i64));
        }
    }
}
