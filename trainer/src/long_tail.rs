//! What a long-tailed class distribution says about its classes.

use serde::{Deserialize, Serialize};

/// The classes with fewer training images than the mean: `n_c · C < N`, in integers. Ascending class
/// ids.
pub fn minority(counts: &[u64]) -> Vec<u32> {
    let images: u64 = counts.iter().sum();
    let classes = counts.len() as u64;
    (0..).zip(counts).filter(|(_, count)| **count * classes < images).map(|(c, _)| c).collect()
}

/// The groups of Liu et al. (OLTR, CVPR 2019), by training images of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShotGroup {
    /// More than 100 images.
    Many,
    /// From 20 to 100 images, both included.
    Medium,
    /// Fewer than 20 images.
    Few,
}

/// The group of each class.
pub fn shot_groups(counts: &[u64]) -> Vec<ShotGroup> {
    counts
        .iter()
        .map(|count| match count {
            101.. => ShotGroup::Many,
            20..=100 => ShotGroup::Medium,
            _ => ShotGroup::Few,
        })
        .collect()
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
    fn thirds_take_every_class_once() {
        assert_eq!(thirds(&[5, 9, 9, 1]), [vec![1, 2], vec![0], vec![3]]);
        assert_eq!(thirds(&[7]), [vec![0], vec![], vec![]]);
    }
}
