//! Criteria: how far logits are from a target, and the constants that follow from class counts.

use lcsl_config::{CriterionName, RunConfig};

use super::Prior;

/// The loss of one target, with the constants that follow from class counts, in float64.
///
/// The arithmetic is `engine::step::criterion`, a file for each. A criterion sees logits (N × C) and
/// targets (N × K: the image's class, its partner's, the pseudo-label) and gives losses (N × K);
/// weights (N × K) come after it, so none knows of mixing, pseudo-labels or class weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Criterion {
    /// −log softmax of the target's logit.
    CrossEntropy,
    /// (1 − p)^γ times cross-entropy, p the target's probability (Lin et al., ICCV 2017, eq. 4).
    Focal {
        /// γ, at least 0.
        gamma: f64,
    },
    /// Cross-entropy with a margin taken from the target's logit (Cao et al., NeurIPS 2019, eq. 13).
    Margins {
        /// Of each class, in logits: the margin of its angle times the scale of the cosines.
        of_class: Vec<f64>,
    },
    /// Cross-entropy against (1 − ε) of the target and ε spread over all classes (Szegedy et al., CVPR 2016,
    /// section 7).
    LabelSmoothing {
        /// ε, in [0, 1).
        smoothing: f64,
    },
}

/// What a word of `train.criterion` stands for, with these training images per class.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The loss of a target.
    pub criterion: Criterion,
    /// The class prior that logits are corrected by, if they are.
    pub prior: Option<Prior>,
    /// Weight of each class's targets from the beginning.
    pub class_weights: Option<Vec<f64>>,
    /// The same in the last part of training.
    pub deferred_weights: Option<Vec<f64>>,
}

/// A criterion divides by the number of images of each class, and these classes have none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{criterion} divides by the number of images of each class, and {} {}", .classes.len(), named(.classes))]
pub struct EmptyClasses {
    /// The word of the criterion.
    pub criterion: &'static str,
    /// The classes, ascending.
    pub classes: Vec<usize>,
}

fn named(classes: &[usize]) -> String {
    let some: Vec<String> = classes.iter().take(5).map(usize::to_string).collect();
    let more = if classes.len() > 5 { ", …" } else { "" };
    let have =
        if classes.len() == 1 { "class has none: class" } else { "classes have none: classes" };
    format!("{have} {}{more}", some.join(", "))
}

impl Resolved {
    /// Of the configuration's criterion, for so many training images of each class.
    ///
    /// # Errors
    /// When it divides by the images of a class that has none.
    pub fn of(config: &RunConfig, counts: &[u64]) -> Result<Self, EmptyClasses> {
        let (name, loss) = (config.train.criterion, &config.loss);
        let plain = Self {
            criterion: Criterion::CrossEntropy,
            prior: None,
            class_weights: None,
            deferred_weights: None,
        };
        let under_prior = |scale| {
            let prior = Prior { admissions: loss.prior_admissions, ..prior_of_images(scale) };
            Self { prior: Some(prior), ..plain.clone() }
        };
        let divides = !matches!(
            name,
            CriterionName::Ce | CriterionName::Focal | CriterionName::LabelSmoothing
        );
        if divides {
            all_have_images(name.word(), counts)?;
        }
        let weights = || Some(class_weights(counts, loss.class_balanced_beta));
        let margins = || {
            let scaled = ldam_margins(counts, loss.ldam_max_margin).into_iter();
            let of_class = scaled.map(|margin| margin * config.model.cosine_scale).collect();
            Self { criterion: Criterion::Margins { of_class }, ..plain.clone() }
        };
        Ok(match name {
            CriterionName::Ce => plain,
            CriterionName::Focal => {
                Self { criterion: Criterion::Focal { gamma: loss.focal_gamma }, ..plain }
            }
            CriterionName::LabelSmoothing => {
                let smoothing = loss.label_smoothing;
                Self { criterion: Criterion::LabelSmoothing { smoothing }, ..plain }
            }
            CriterionName::ClassBalanced => Self { class_weights: weights(), ..plain },
            CriterionName::BalancedSoftmax => under_prior(1.0),
            CriterionName::LogitAdjustment => under_prior(loss.adjustment_tau),
            CriterionName::Ldam => margins(),
            CriterionName::LdamDrw => Self { deferred_weights: weights(), ..margins() },
        })
    }
}

/// τ times the logarithm of the training images' prior.
fn prior_of_images(scale: f64) -> Prior {
    Prior { scale, admissions: 0.0, corrects_teacher: false }
}

/// The prior of balanced softmax, for so many training images of each class.
///
/// # Errors
/// When a class has none.
pub fn balanced_prior(counts: &[u64]) -> Result<Prior, EmptyClasses> {
    all_have_images(CriterionName::BalancedSoftmax.word(), counts)?;
    Ok(prior_of_images(1.0))
}

pub(super) fn all_have_images(criterion: &'static str, counts: &[u64]) -> Result<(), EmptyClasses> {
    let empty = (0..).zip(counts).filter(|(_, count)| **count == 0);
    let classes: Vec<usize> = empty.map(|(class, _)| class).collect();
    if classes.is_empty() { Ok(()) } else { Err(EmptyClasses { criterion, classes }) }
}

/// (1 − β)/(1 − βⁿ) of each class with n images (Cui et al., CVPR 2019, eq. 2), scaled so that the mean over the
/// training images is 1: then a batch's loss is divided by its images, and gradients of ranks add up.
///
/// Every class has an image.
pub fn class_weights(counts: &[u64], beta: f64) -> Vec<f64> {
    let weight = |count: &u64| (1.0 - beta) / (1.0 - beta.powf(*count as f64));
    let raw: Vec<f64> = counts.iter().map(weight).collect();
    let images: u64 = counts.iter().sum();
    let weighed: f64 = raw.iter().zip(counts).map(|(weight, count)| weight * *count as f64).sum();
    raw.into_iter().map(|weight| weight * images as f64 / weighed).collect()
}

/// n^(−1/4) of each class with n images, scaled so that the largest is `max_margin` (Cao et al., NeurIPS 2019, eq. 12).
///
/// Every class has an image.
pub fn ldam_margins(counts: &[u64], max_margin: f64) -> Vec<f64> {
    let raw: Vec<f64> = counts.iter().map(|count| (*count as f64).powf(-0.25)).collect();
    let largest = raw.iter().copied().fold(0.0, f64::max);
    raw.into_iter().map(|margin| margin * (max_margin / largest)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn weights_average_1_over_the_images_and_grow_as_classes_shrink(
            counts in prop::collection::vec(1_u64..5000, 1..50),
            beta in 0.0..0.9999_f64,
        ) {
            let weights = class_weights(&counts, beta);
            let total: f64 = weights.iter().zip(&counts).map(|(w, n)| w * *n as f64).sum();
            let images = counts.iter().sum::<u64>() as f64;
            prop_assert!((total / images - 1.0).abs() < 1e-9);
            for (a, b) in (0..counts.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                prop_assert!(counts[a] < counts[b] || weights[a] <= weights[b] * (1.0 + 1e-12));
            }
        }

        #[test]
        fn the_smallest_class_has_the_largest_margin(
            counts in prop::collection::vec(1_u64..5000, 1..50),
        ) {
            let margins = ldam_margins(&counts, 0.5);
            let smallest = counts.iter().min();
            for (count, margin) in counts.iter().zip(&margins) {
                prop_assert!(*margin > 0.0 && *margin <= 0.5 + 1e-12);
                prop_assert!(Some(count) != smallest || (*margin - 0.5).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn classes_without_images_are_named_once() {
        let classes = |empty: &[usize]| {
            EmptyClasses { criterion: "ldam", classes: empty.to_vec() }.to_string()
        };
        assert_eq!(
            classes(&[3]),
            "ldam divides by the number of images of each class, and 1 class has none: class 3"
        );
        assert_eq!(
            classes(&[0, 1, 2, 3, 4, 5]),
            "ldam divides by the number of images of each class, and 6 classes have none: classes 0, 1, 2, 3, 4, …"
        );
    }
}
