//! Ranks that say the same, and the words for them.

/// Ranks that said the same thing, and what they said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Camp<'a, T> {
    /// At least one, in ascending order.
    pub(crate) ranks: Vec<usize>,
    pub(crate) says: &'a T,
}

/// Sorts ranks by what they said (`said[rank]`), the smallest camp first: it is the one to look at.
/// Camps of one size stand in the order of their first ranks.
pub(crate) fn camps<T: PartialEq>(said: &[T]) -> Vec<Camp<'_, T>> {
    let mut camps: Vec<Camp<'_, T>> = Vec::new();
    for (rank, says) in said.iter().enumerate() {
        match camps.iter_mut().find(|camp| camp.says == says) {
            Some(camp) => camp.ranks.push(rank),
            None => camps.push(Camp { ranks: vec![rank], says }),
        }
    }
    camps.sort_by_key(|camp| camp.ranks.len());
    camps
}

/// `rank 3`, `ranks 0 and 4`, `ranks 0-6 and 8-1023`.
pub(crate) fn named(ranks: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &rank in ranks {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == rank => *last = rank,
            _ => runs.push((rank, rank)),
        }
    }
    let words: Vec<String> = runs
        .iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}-{last}"),
        })
        .collect();
    let noun = if ranks.len() == 1 { "rank" } else { "ranks" };
    match words.split_last() {
        Some((last, [])) => format!("{noun} {last}"),
        Some((last, others)) => format!("{noun} {} and {last}", others.join(", ")),
        None => format!("no {noun}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranks_are_named_in_runs() {
        assert_eq!(named(&[3]), "rank 3");
        assert_eq!(named(&[0, 4]), "ranks 0 and 4");
        assert_eq!(named(&[0, 1, 2, 3, 7, 9, 10]), "ranks 0-3, 7 and 9-10");
    }

    proptest! {
        #[test]
        fn every_rank_is_in_the_camp_of_its_word(said in prop::collection::vec(0_u8..4, 1..40)) {
            let camps = camps(&said);
            let mut seen = vec![false; said.len()];
            for camp in &camps {
                for rank in &camp.ranks {
                    prop_assert_eq!(said[*rank], *camp.says);
                    prop_assert!(!std::mem::replace(&mut seen[*rank], true));
                }
            }
            prop_assert!(seen.into_iter().all(|seen| seen));
            prop_assert!(camps.is_sorted_by_key(|camp| camp.ranks.len()));
        }
    }
}
