//! Groups of ranks that differ: each says the same, and the words for them.

/// Ranks that said the same thing, and what they said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group<'a, T> {
    /// At least one, in ascending order.
    pub(crate) ranks: Vec<usize>,
    pub(crate) says: &'a T,
}

/// Sorts ranks by what they said (`said[rank]`), the smallest group first: it is the one to look at.
/// Groups of one size stand in the order of their first ranks.
pub(crate) fn groups<T: PartialEq>(said: &[T]) -> Vec<Group<'_, T>> {
    let mut groups: Vec<Group<'_, T>> = Vec::new();
    for (rank, says) in said.iter().enumerate() {
        match groups.iter_mut().find(|group| group.says == says) {
            Some(group) => group.ranks.push(rank),
            None => groups.push(Group { ranks: vec![rank], says }),
        }
    }
    groups.sort_by_key(|group| group.ranks.len());
    groups
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
        fn every_rank_is_in_the_group_of_its_word(said in prop::collection::vec(0_u8..4, 1..40)) {
            let groups = groups(&said);
            let mut seen = vec![false; said.len()];
            for group in &groups {
                for rank in &group.ranks {
                    prop_assert_eq!(said[*rank], *group.says);
                    prop_assert!(!std::mem::replace(&mut seen[*rank], true));
                }
            }
            prop_assert!(seen.into_iter().all(|seen| seen));
            prop_assert!(groups.is_sorted_by_key(|group| group.ranks.len()));
        }
    }
}
