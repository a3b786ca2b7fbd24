//! Distribution alignment: labels are moved until each class is given as often as the others.
//!
//! A network that has seen few images of a class gives its label too seldom. Where unlabelled images are of all classes
//! alike, that is seen in the labels themselves: Berthelot et al. (`ReMixMatch`, ICLR 2020, section 3.1) divide the
//! probabilities of a label by how likely its class was on average. Here the logarithm of that is corrected at every
//! epoch's end by what the labels of the epoch still show, as integers, which are the same on every rank and after
//! every resume.

/// How far an epoch moves a class at most, as a logarithm: a class that was never given would be moved without end.
const MOST: f64 = 1.0;

/// What is taken from the teacher's logits (millionths, one of each class), after an epoch in which the classes were
/// `named` so often. `strength` is in millionths: with one million, what is named twice as often as the average loses
/// ln 2.
pub fn renewed(offsets: &[i64], named: &[u64], strength: u64) -> Vec<i64> {
    let all: u64 = named.iter().sum();
    if all == 0 {
        return offsets.to_vec();
    }
    let even = all as f64 / named.len() as f64;
    let moved = |(before, count): (&i64, &u64)| {
        let excess = ((*count as f64 + 1.0) / (even + 1.0)).ln().clamp(-MOST, MOST);
        before + (excess * strength as f64).round() as i64
    };
    offsets.iter().zip(named).map(moved).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::admission::MILLION;

    #[test]
    fn what_is_named_too_often_loses() {
        let named = [199, 99, 49, 0];
        // The average is 86.75 of each.
        let expected = [200.0_f64 / 87.75, 100.0 / 87.75, 50.0 / 87.75]
            .map(|ratio| (ratio.ln() * 1e6).round() as i64);
        let renewed = renewed(&[0, 5, 0, 7], &named, MILLION);
        assert_eq!(renewed, [expected[0], expected[1] + 5, expected[2], 7 - 1_000_000]);
    }

    proptest! {
        /// Classes keep their order, half the strength is half the way, and nothing moves where nothing is to be moved.
        #[test]
        fn moves_follow_the_counts(named in proptest::collection::vec(0_u64..1000, 2..9)) {
            let zeros = vec![0; named.len()];
            let [whole, half] = [MILLION, MILLION / 2].map(|it| renewed(&zeros, &named, it));
            for (one, other) in (0..named.len()).zip(1..named.len()) {
                prop_assert!(named[one] < named[other] || whole[one] >= whole[other]);
            }
            for (whole, half) in whole.iter().zip(half) {
                prop_assert!((whole - 2 * half).abs() <= 1);
            }
            let even = vec![named[0]; named.len()];
            prop_assert_eq!(renewed(&zeros, &even, MILLION), zeros);
        }
    }
}
