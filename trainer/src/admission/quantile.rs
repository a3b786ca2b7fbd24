//! Each class's own gate: a quantile of the confidences with which it was named in the epoch before.
//!
//! Where one confidence is asked of all classes, those that a network knows well pass and the others do not; a
//! quantile of each class's own lets the same part of every class pass (Guo and Li, ICML 2022, choose thresholds so).
//! Confidences are counted in bins: integers, which are the same on every rank and after every resume.

use super::MILLION;

/// Bins of a class.
pub const BINS: usize = 64;

/// The bin of a confidence in [0, 1]: four for each halving of what is missing to 1, and the last one for all that is
/// above. Its arithmetic is that of IEEE, the same on every machine.
pub fn bin(confidence: f32) -> usize {
    let doubt = (1.0 - confidence).clamp(0.0, 1.0);
    // Beside the exponent, two bits of the mantissa are left.
    let quarters = 1.0_f32.to_bits().saturating_sub(doubt.to_bits()) >> 21;
    (quarters as usize).min(BINS - 1)
}

/// The first bin that passes, given how many confidences fell into each: the last one such that at least 1 −
/// `quantile` (in millionths) of them lie in it or above. Where there were none, all pass.
pub fn gate(counts: &[u64], quantile: u64) -> u64 {
    let all: u64 = counts.iter().sum();
    let least = (all * (MILLION - quantile)).div_ceil(MILLION).max(1);
    let mut passing = 0;
    for (bin, count) in counts.iter().enumerate().rev() {
        passing += count;
        if passing >= least {
            return bin as u64;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bins_are_four_for_each_halving_of_what_is_missing() {
        assert_eq!([0.0, 0.5, 0.75, 0.875, 1.0].map(bin), [0, 4, 8, 12, BINS - 1]);
        // The doubts 1/2, 7/16, 3/8, 5/16 and 1/4 begin a bin each, from above.
        assert_eq!([0.51, 0.57, 0.63, 0.70, 0.76].map(bin), [4, 5, 6, 7, 8]);
        assert_eq!(bin(0.999_99), BINS - 1);
    }

    #[test]
    fn a_gate_lets_the_upper_part_pass() {
        let mut counts = [0; BINS];
        (counts[3], counts[5], counts[9]) = (50, 30, 20);
        assert_eq!(gate(&counts, 0), 3);
        assert_eq!(gate(&counts, 500_000), 5);
        assert_eq!(gate(&counts, 800_000), 9);
        assert_eq!(gate(&counts, 800_001), 9, "the last bin passes whole");
        assert_eq!(gate(&[0; BINS], 500_000), 0, "nothing is known");
    }

    proptest! {
        #[test]
        fn bins_have_the_order_of_confidences(one in 0.0_f32..=1.0, other in 0.0_f32..=1.0) {
            prop_assert_eq!(bin(one).max(bin(other)), bin(one.max(other)));
        }

        #[test]
        fn at_least_the_asked_part_passes_and_less_from_the_next_bin_on(
            counts in proptest::collection::vec(0_u64..9, BINS), quantile in 0..MILLION,
        ) {
            let (all, first) = (counts.iter().sum::<u64>(), gate(&counts, quantile) as usize);
            let from = |bin: usize| counts[bin..].iter().sum::<u64>() * MILLION;
            prop_assert!(from(first) >= all * (MILLION - quantile));
            prop_assert!(all == 0 || from(first + 1) < all * (MILLION - quantile));
        }
    }
}
