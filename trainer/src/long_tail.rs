//! What a long-tailed class distribution says about its classes.

use serde::{Deserialize, Serialize};

/// The classes with fewer training images than the mean: `n_c · C < N`, in integers. Ascending class
/// ids.
pub fn minority(counts: &[u64]) -> Vec<u32> {
    let images: u64 = counts.iter().sum();
    let classes = counts.len() as u64;
    (0..).zip(counts).filter(|(_, count)| **count * classes < images).map(|(c, _)| c).collect()
}

/// Groups of classes by their training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShotGroup {
    /// More images than [`ShotThresholds::many_above`].
    Many,
    /// Those between.
    Medium,
    /// Fewer images than [`ShotThresholds::few_below`].
    Few,
}

/// Where the groups of classes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShotThresholds {
    /// A class with more training images has many.
    pub many_above: u64,
    /// A class with fewer has few; at most one more than `many_above`.
    pub few_below: u64,
}

impl ShotThresholds {
    /// Those of Liu et al. (OLTR, CVPR 2019).
    pub const USUAL: Self = Self { many_above: 100, few_below: 20 };

    /// The group of each class.
    pub fn groups(self, counts: &[u64]) -> Vec<ShotGroup> {
        let group = |count: &u64| match *count {
            count if count > self.many_above => ShotGroup::Many,
            count if count < self.few_below => ShotGroup::Few,
            _ => ShotGroup::Medium,
        };
        counts.iter().map(group).collect()
    }

    /// The groups that some count would belong to, and no class does.
    pub fn empty(self, groups: &[ShotGroup]) -> Vec<ShotGroup> {
        let can_be = [
            (ShotGroup::Many, true),
            (ShotGroup::Medium, self.few_below <= self.many_above),
            (ShotGroup::Few, self.few_below > 0),
        ];
        let is_empty = |(group, can_be): (ShotGroup, bool)| can_be && !groups.contains(&group);
        can_be.into_iter().filter(|it| is_empty(*it)).map(|(group, _)| group).collect()
    }
}

/// Head, middle and tail thirds of the classes, ordered by training images, largest first, ties by
/// class id; what does not divide goes to the head. They say something where the shot groups do
/// not: a small profile can have no class below 20 images.
pub fn thirds(counts: &[u64]) -> [Vec<u32>; 3] {
    let mut order: Vec<u32> = (0..counts.len() as u32).collect();
    order.sort_by_key(|c| (std::cmp::Reverse(counts[*c as usize]), *c));
    let third = order.len() / 3;
    let tail = order.split_off(order.len() - third);
    let middle = order.split_off(order.len() - third);
    [order, middle, tail]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_cut_the_classes_and_an_empty_group_is_known() {
        use ShotGroup::{Few, Many, Medium};

        let thresholds = ShotThresholds { many_above: 50, few_below: 10 };
        let groups = thresholds.groups(&[51, 50, 10, 9, 0]);
        assert_eq!(groups, [Many, Medium, Medium, Few, Few]);
        assert!(thresholds.empty(&groups).is_empty());
        assert_eq!(thresholds.empty(&[Medium]), [Many, Few]);
        let two_groups = ShotThresholds { many_above: 9, few_below: 10 };
        assert!(two_groups.empty(&two_groups.groups(&[10, 9])).is_empty(), "nothing lies between");
    }

    #[test]
    fn thirds_take_every_class_once() {
        assert_eq!(thirds(&[5, 9, 9, 1]), [vec![1, 2], vec![0], vec![3]]);
        assert_eq!(thirds(&[7]), [vec![0], vec![], vec![]]);
    }
}
