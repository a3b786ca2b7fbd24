//! The accuracies of `result.json`.

use lcsl_run_dir::result::{Accuracy, ClassRow};

use super::Confusion;
use crate::long_tail::{ShotGroup, thirds};

/// The accuracies of a confusion matrix, for classes with these training counts, in these groups.
pub fn accuracy(confusion: &Confusion, train_counts: &[u64], groups: &[ShotGroup]) -> Accuracy {
    let classes = train_counts.len();
    let (images, correct) = confusion.per_class(classes);
    let group = |wanted: ShotGroup| {
        let members = (0..classes).filter(|c| groups[*c] == wanted);
        mean_accuracy(&images, &correct, members)
    };
    let third = |members: &[u32]| {
        mean_accuracy(&images, &correct, members.iter().map(|class| *class as usize))
    };
    let [head, middle, tail] = thirds(train_counts);
    let total: u64 = images.iter().sum();
    Accuracy {
        all: mean_accuracy(&images, &correct, 0..classes),
        top1: (total > 0).then(|| correct.iter().sum::<u64>() as f64 / total as f64),
        many: group(ShotGroup::Many),
        medium: group(ShotGroup::Medium),
        few: group(ShotGroup::Few),
        head_third: third(&head),
        middle_third: third(&middle),
        tail_third: third(&tail),
    }
}

/// One row per class.
pub fn class_rows(
    confusion: &Confusion,
    names: &[String],
    train_counts: &[u64],
    admitted: &[u64],
) -> Vec<ClassRow> {
    let (images, correct) = confusion.per_class(names.len());
    (0..names.len())
        .map(|c| ClassRow {
            class: c as u32,
            name: names[c].clone(),
            train_count: train_counts[c],
            admitted: admitted[c],
            test_count: images[c],
            accuracy: (images[c] > 0).then(|| correct[c] as f64 / images[c] as f64),
        })
        .collect()
}

/// The mean accuracy of those `members` that have images.
pub(super) fn mean_accuracy(
    images: &[u64],
    correct: &[u64],
    members: impl Iterator<Item = usize>,
) -> Option<f64> {
    let rates: Vec<f64> = members
        .filter(|class| images[*class] > 0)
        .map(|class| correct[class] as f64 / images[class] as f64)
        .collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::long_tail::ShotThresholds;

    #[test]
    fn groups_are_means_over_classes_and_empty_ones_are_null() {
        let mut confusion = Confusion::default();
        for (truth, predicted, times) in [(0, 0, 3), (0, 1, 1), (1, 1, 1), (1, 0, 1), (2, 2, 10)] {
            for _ in 0..times {
                confusion.record(truth, predicted);
            }
        }
        let counts = [500, 150, 30];
        let accuracy = accuracy(&confusion, &counts, &ShotThresholds::USUAL.groups(&counts));
        assert_eq!(accuracy.all, Some((0.75 + 0.5 + 1.0) / 3.0));
        assert_eq!(accuracy.top1, Some(14.0 / 16.0));
        assert_eq!((accuracy.many, accuracy.medium), (Some(0.625), Some(1.0)));
        assert_eq!(accuracy.few, None);
        assert_eq!(accuracy.tail_third, Some(1.0));
    }
}
