//! Part i of n: how a whole is shared out when it does not divide evenly.

use std::ops::Range;

/// The share of part `part` (from 0) of `parts`, as a range of `0..total`.
///
/// Shares are contiguous and in order, and the first `total % parts` of them hold one element more
/// than the rest. With more parts than elements the last shares are empty.
///
/// ```
/// use lcsl_data::share::range;
///
/// assert_eq!([0, 1, 2].map(|part| range(8, 3, part)), [0..3, 3..6, 6..8]);
/// ```
///
/// # Panics
/// When `part` is not one of the `parts`.
pub fn range(total: u64, parts: u64, part: u64) -> Range<u64> {
    assert!(part < parts, "part {part} of {parts} does not exist");
    let (size, longer) = (total / parts, total % parts);
    let start = part * size + part.min(longer);
    start..start + size + u64::from(part < longer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_cover_the_whole_once_and_in_order(total in 0_u64..10_000, parts in 1_u64..200) {
            let mut next = 0;
            for part in 0..parts {
                let share = range(total, parts, part);
                prop_assert_eq!(share.start, next);
                prop_assert!(share.end >= share.start);
                next = share.end;
            }
            prop_assert_eq!(next, total);
        }

        #[test]
        fn sizes_differ_by_at_most_one_and_never_grow(total: u64, parts in 1_u64..200) {
            let size = |part| { let share = range(total, parts, part); share.end - share.start };
            for part in 1..parts {
                prop_assert!(size(part) <= size(part - 1));
            }
            prop_assert!(size(0) - size(parts - 1) <= 1);
        }
    }

    #[test]
    fn more_parts_than_elements_leave_the_last_ones_empty() {
        assert_eq!([0, 1, 2, 3].map(|part| range(2, 4, part)), [0..1, 1..2, 2..2, 2..2]);
    }
}
