//! How many images each class of a long-tailed training set keeps.

/// The shape of a long tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileShape {
    /// Class sizes fall geometrically from the first class to the last.
    Exponential,
    /// The first half of the classes keeps everything, the second half the smallest size.
    Step,
    /// Every class keeps everything.
    Balanced,
}

/// Images kept per class, in class order.
///
/// `largest` is the size of the largest class and `factor`, in (0, 1], the smallest size as a
/// fraction of it. Sizes are `largest * factor^(c / (classes - 1))`, rounded down, for
/// [`ProfileShape::Exponential`] (Cui et al., "Class-balanced loss based on effective number of samples",
/// CVPR 2019) and `largest` or `largest * factor` for [`ProfileShape::Step`] (Buda et al., "A systematic
/// study of the class imbalance problem", 2018). With an odd number of classes the class in the
/// middle belongs to the small ones. A size may be 0 where `factor` is very small.
///
/// ```
/// use lcsl_data::profile::{ProfileShape, counts};
///
/// assert_eq!(counts(ProfileShape::Exponential, 3, 500, 0.01), [500, 50, 5]);
/// assert_eq!(counts(ProfileShape::Step, 4, 500, 0.1), [500, 500, 50, 50]);
/// ```
pub fn counts(kind: ProfileShape, classes: usize, largest: u64, factor: f64) -> Vec<u64> {
    let reduced = |exponent: f64| (largest as f64 * factor.powf(exponent)) as u64;
    (0..classes)
        .map(|class| match kind {
            ProfileShape::Exponential if class > 0 => {
                reduced(class as f64 / (classes as f64 - 1.0))
            }
            ProfileShape::Step if class >= classes / 2 => reduced(1.0),
            _ => largest,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sizes_fall_from_largest_to_smallest(
            classes in 1_usize..300,
            largest in 1_u64..10_000,
            factor in 0.001_f64..=1.0,
            exponential: bool,
        ) {
            let kind = if exponential { ProfileShape::Exponential } else { ProfileShape::Step };
            let counts = counts(kind, classes, largest, factor);
            prop_assert_eq!(counts.len(), classes);
            prop_assert!(counts.is_sorted_by(|a, b| a >= b));
            if classes > 1 {
                prop_assert_eq!(counts[0], largest);
                prop_assert_eq!(counts[classes - 1], (largest as f64 * factor) as u64);
            }
        }
    }

    #[test]
    fn one_class_keeps_everything_on_an_exponential() {
        assert_eq!(counts(ProfileShape::Exponential, 1, 500, 0.01), [500]);
    }

    #[test]
    fn an_odd_number_of_classes_leaves_none_out() {
        assert_eq!(counts(ProfileShape::Step, 3, 500, 0.1), [500, 50, 50]);
    }
}
