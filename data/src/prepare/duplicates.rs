//! Images that are stored more than once, found by what is in them.

use serde::{Deserialize, Serialize};

use super::problems::SHOWN_MAX;

/// Images with equal content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duplicates {
    /// Contents that lie in more than one split: what is tested was also learnt.
    pub across_parts: u64,
    /// Contents that lie in one split more than once.
    pub within_parts: u64,
    /// The first of `across_parts`, each as the images that are equal.
    pub named: Vec<Vec<String>>,
}

/// Finds equal digests among the splits: `splits[p][i]` is the digest of image `i` of split `p`, and
/// `name(p, i)` what to call it.
pub fn find(splits: &[Vec<u64>], name: impl Fn(usize, usize) -> String) -> Duplicates {
    let all = splits.iter().enumerate().flat_map(|(part, digests)| {
        digests.iter().enumerate().map(move |(image, &digest)| (digest, part, image))
    });
    let mut all: Vec<(u64, usize, usize)> = all.collect();
    all.sort_unstable();
    let mut found = Duplicates::default();
    for equal in all.chunk_by(|one, other| one.0 == other.0).filter(|equal| equal.len() > 1) {
        let across = equal.iter().any(|&(_, part, _)| part != equal[0].1);
        found.across_parts += u64::from(across);
        found.within_parts += u64::from(equal.windows(2).any(|pair| pair[0].1 == pair[1].1));
        if across && found.named.len() < SHOWN_MAX {
            let names = equal.iter().take(SHOWN_MAX);
            found.named.push(names.map(|&(_, part, image)| name(part, image)).collect());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_images_are_found_within_and_across_parts() {
        let parts = [vec![5, 1, 2, 1], vec![7], vec![2, 9, 1]];
        let found = find(&parts, |part, image| format!("{part}/{image}"));
        assert_eq!((found.across_parts, found.within_parts), (2, 1));
        assert_eq!(found.named, [vec!["0/1", "0/3", "2/2"], vec!["0/2", "2/0"]]);
        assert_eq!(find(&parts[..2], |_, _| String::new()).across_parts, 0);
    }
}
