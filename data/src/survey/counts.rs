//! Images per class, and the groups that papers report.

use std::fmt::Write as _;

/// Classes with more training images than this are many-shot.
pub const MANY_ABOVE: u64 = 100;
/// Classes with fewer training images than this are few-shot.
pub const FEW_BELOW: u64 = 20;

/// Rows of a histogram.
const ROWS_MAX: usize = 20;
/// Characters of its longest bar.
const BAR: usize = 50;

/// Number of classes by their number of training images (Liu et al., 2019). A class without any
/// belongs to none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// More than [`MANY_ABOVE`].
    pub many: u64,
    /// Between the two.
    pub medium: u64,
    /// Fewer than [`FEW_BELOW`], but some.
    pub few: u64,
}

/// Sorts classes into groups.
pub fn groups(counts: &[u64]) -> Groups {
    let mut groups = Groups::default();
    for &count in counts {
        match count {
            0 => {}
            _ if count > MANY_ABOVE => groups.many += 1,
            _ if count < FEW_BELOW => groups.few += 1,
            _ => groups.medium += 1,
        }
    }
    groups
}

/// Classes from the largest to the smallest; equal ones by their number.
pub fn by_size(counts: &[u64]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..counts.len()).collect();
    classes.sort_by_key(|&class| (std::cmp::Reverse(counts[class]), class));
    classes
}

/// Draws the profile from the largest class to the smallest: a row for one class or for several
/// next to each other, with a bar for their mean, in proportion to the largest.
pub fn histogram(counts: &[u64]) -> String {
    let classes = by_size(counts);
    let Some(&largest) = classes.first().map(|&class| &counts[class]).filter(|count| **count > 0)
    else {
        return String::new();
    };
    let mut text = String::new();
    let rows = classes.len().min(ROWS_MAX);
    for row in 0..rows {
        let (first, end) = (row * classes.len() / rows, (row + 1) * classes.len() / rows);
        let sum: u64 = classes[first..end].iter().map(|&class| counts[class]).sum();
        let mean = sum as f64 / (end - first) as f64;
        // In half characters, so that small classes are still seen.
        let halves = (mean / largest as f64 * (2 * BAR) as f64).round() as usize;
        let bar = "█".repeat(halves / 2) + if halves % 2 == 1 { "▌" } else { "" };
        let ranks = if end - first == 1 {
            format!("{}", first + 1)
        } else {
            format!("{}-{end}", first + 1)
        };
        let _ = writeln!(text, "  {ranks:>11}  {mean:>9.1}  {bar}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_published_bounds() {
        let counts = [0, 1, 19, 20, 100, 101, 1280];
        assert_eq!(groups(&counts), Groups { many: 2, medium: 2, few: 2 });
    }

    /// The published groups of ImageNet-LT: 385 many, 479 medium, 136 few.
    #[test]
    fn imagenet_lt_has_its_published_groups() {
        let text = include_str!("../../tests/counts/imagenet_lt_train.txt");
        let counts: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(groups(&counts), Groups { many: 385, medium: 479, few: 136 });
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (1000, 115_846));
        insta::assert_snapshot!(histogram(&counts));
    }

    /// The published groups of iNaturalist 2018: 842 many, 4,076 medium, 3,224 few.
    #[test]
    fn inaturalist_has_its_published_groups() {
        let text = include_str!("../../tests/counts/inaturalist2018_train.txt");
        let counts: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(groups(&counts), Groups { many: 842, medium: 4076, few: 3224 });
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (8142, 437_513));
    }

    #[test]
    fn few_classes_have_a_row_each() {
        insta::assert_snapshot!(histogram(&[10, 3, 40, 1]), @r"
        1       40.0  ██████████████████████████████████████████████████
        2       10.0  ████████████▌
        3        3.0  ████
        4        1.0  █▌
        ");
        assert_eq!(histogram(&[0, 0]), "");
    }
}
