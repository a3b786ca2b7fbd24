//! Which images a long-tailed training set holds, and which ones validate it.
//!
//! In each class the images stand in an order. The long-tailed selection keeps the first of them,
//! as many as the profile says. Validation images come from those that the selection left unused,
//! directly behind it; where too few are left, the rest comes from the end of the selection itself,
//! and the class's training count falls by as much:
//!
//! ```text
//! a class of 6,000 images, 100 to validate, in the class's order
//!
//! keeps 3,596   [ train 3,596 | validation 100 |     unused      ]
//! keeps 6,000   [ train 5,900                   | validation 100 ]
//! ```
//!
//! What is left behind them can be trained on without its labels: the next images of each class, as many as a profile
//! of their own says, or all.
//!
//! No image is ever in two of them, and none is there twice.

use std::ops::Range;

use crate::random::{Purpose, Stream};

/// A class with this many images or fewer gives only one to validation.
const SMALL_CLASS: usize = 4;

/// What a split should look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitRequest {
    /// Training images that each class keeps, in class order, before validation takes its share.
    pub targets: Vec<u64>,
    /// Validation images that each class gives; 0 for no validation at all.
    pub validation_per_class: usize,
    /// What becomes of the images that are left.
    pub left: LeftOver,
    /// The order of the images within a class.
    pub order: SelectionOrder,
}

/// What becomes of the images that neither the selection nor the validation takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOver {
    /// Nothing.
    Unused,
    /// All of them are unlabelled images.
    Unlabelled,
    /// So many of each class are, in class order.
    UnlabelledOf(Vec<u64>),
}

/// The order in which a class's images are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectionOrder {
    /// As they stand in the dataset: what the published code does.
    First,
    /// Shuffled per class under this seed.
    Seeded(u64),
}

/// The images of training and validation, as indices into the dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitIndices {
    /// The training images, ascending.
    pub train: Vec<u32>,
    /// The validation images, ascending; none is a training image.
    pub validation: Vec<u32>,
    /// The unlabelled images, ascending; none is a training or validation image.
    pub unlabelled: Vec<u32>,
    /// Training images of each class: the real counts, after validation took its share.
    pub train_counts: Vec<u64>,
    /// Classes that have no validation image although validation was asked for: they are left out
    /// of its score.
    pub unscored: Vec<u32>,
}

/// Why a request cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// The request has a target for more or fewer classes than there are.
    #[error("{targets} class sizes were requested of a dataset with {classes} classes")]
    Classes {
        /// Number of targets in the request.
        targets: usize,
        /// Number of classes of the dataset.
        classes: usize,
    },
    /// A label names no class.
    #[error("image {index} has label {label}, but there are only {classes} classes")]
    Label {
        /// Index of the image in the dataset.
        index: usize,
        /// The label found.
        label: u32,
        /// Number of classes of the dataset.
        classes: usize,
    },
    /// A class has fewer images than it is to keep. Images are never repeated to make up for it.
    #[error("class {class} is to keep {target} images, but has only {available}")]
    TooFew {
        /// The class.
        class: usize,
        /// Images that it is to keep.
        target: u64,
        /// Images that it has.
        available: usize,
    },
    /// A class has fewer images left than are to be unlabelled.
    #[error(
        "class {class} is to have {target} unlabelled images, but only {left} are left behind those that are learnt \
         or held out"
    )]
    TooFewLeft {
        /// The class.
        class: usize,
        /// Unlabelled images that were asked for.
        target: u64,
        /// Images that are left.
        left: usize,
    },
}

/// Splits the images that have these `labels` (one of `classes` each) as `request` says.
///
/// A class with at most 4 images gives one validation image instead of `validation_per_class`, and
/// a class with a single image gives none. Whatever is asked for, at most half of a class's
/// selection goes to validation, so that every class that is kept can be learned.
///
/// # Errors
/// When the request does not fit the labels; see [`SplitError`].
pub fn split(
    labels: &[u32],
    classes: usize,
    request: &SplitRequest,
) -> Result<SplitIndices, SplitError> {
    let unlabelled = match &request.left {
        LeftOver::UnlabelledOf(targets) => Some(targets),
        LeftOver::Unused | LeftOver::Unlabelled => None,
    };
    for targets in [Some(&request.targets), unlabelled].into_iter().flatten() {
        if targets.len() != classes {
            return Err(SplitError::Classes { targets: targets.len(), classes });
        }
    }
    let members = members(labels, classes, request.order)?;
    let mut split = SplitIndices {
        train: Vec::new(),
        validation: Vec::new(),
        unlabelled: Vec::new(),
        train_counts: Vec::with_capacity(classes),
        unscored: Vec::new(),
    };
    for (class, (images, &target)) in members.iter().zip(&request.targets).enumerate() {
        let available = images.len();
        let kept = usize::try_from(target)
            .ok()
            .filter(|&kept| kept <= available)
            .ok_or(SplitError::TooFew { class, target, available })?;
        let validation = validation(available, kept, request.validation_per_class);
        let train = &images[..kept.min(validation.start)];
        split.train.extend(train);
        split.train_counts.push(train.len() as u64);
        if validation.is_empty() && request.validation_per_class > 0 {
            split.unscored.push(class as u32);
        }
        let left = &images[validation.end..];
        split.validation.extend(&images[validation]);
        split.unlabelled.extend(taken_of(left, class, &request.left)?);
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    split.unlabelled.sort_unstable();
    Ok(split)
}

/// Those of the images of a class that are `left` which become unlabelled ones.
fn taken_of<'a>(
    left: &'a [u32],
    class: usize,
    request: &LeftOver,
) -> Result<&'a [u32], SplitError> {
    let target = match request {
        LeftOver::Unused => return Ok(&[]),
        LeftOver::Unlabelled => return Ok(left),
        LeftOver::UnlabelledOf(targets) => targets[class],
    };
    let count = usize::try_from(target).ok().filter(|&count| count <= left.len());
    let count = count.ok_or(SplitError::TooFewLeft { class, target, left: left.len() })?;
    Ok(&left[..count])
}

/// The places of the validation images in the order of a class that has `available` images and
/// keeps the first `kept`. Training keeps what stands before both `kept` and the start of this
/// range.
fn validation(available: usize, kept: usize, requested: usize) -> Range<usize> {
    let wanted = match available {
        0 | 1 => 0,
        2..=SMALL_CLASS => requested.min(1),
        _ => requested,
    };
    let unused = wanted.min(available - kept);
    let taken = (wanted - unused).min(kept / 2);
    kept - taken..kept + unused
}

/// The images of each class, in the order asked for.
fn members(
    labels: &[u32],
    classes: usize,
    order: SelectionOrder,
) -> Result<Vec<Vec<u32>>, SplitError> {
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        let class = members.get_mut(label as usize);
        class.ok_or(SplitError::Label { index, label, classes })?.push(index as u32);
    }
    if let SelectionOrder::Seeded(seed) = order {
        for (class, images) in members.iter_mut().enumerate() {
            Stream::new(seed, Purpose::Selection, class as u64, 0, 0).shuffle(images);
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{ProfileShape, counts};
    use proptest::prelude::*;

    fn request(targets: Vec<u64>, validation_per_class: usize) -> SplitRequest {
        let left = LeftOver::Unlabelled;
        SplitRequest { targets, validation_per_class, left, order: SelectionOrder::First }
    }

    /// One class of `available` images: (training images, validation images).
    fn one_class(available: usize, kept: u64, requested: usize) -> (Vec<u32>, Vec<u32>) {
        let split = split(&vec![0; available], 1, &request(vec![kept], requested)).unwrap();
        assert_eq!(split.unscored.is_empty(), requested == 0 || !split.validation.is_empty());
        (split.train, split.validation)
    }

    #[test]
    fn fashion_mnist_with_imbalance_100_and_100_to_validate() {
        let labels: Vec<u32> = (0..60_000).map(|index| index % 10).collect();
        let targets = counts(ProfileShape::Exponential, 10, 6_000, 0.01);
        let split = split(&labels, 10, &request(targets, 100)).unwrap();
        let expected = [5_900, 3_596, 2_156, 1_292, 774, 464, 278, 166, 100, 60];
        assert_eq!(split.train_counts, expected);
        assert_eq!(split.train.len(), 14_786);
        assert_eq!(split.validation.len(), 1_000);
        assert!(split.unscored.is_empty());
    }

    #[test]
    fn validation_stands_directly_behind_the_selection() {
        assert_eq!(one_class(10, 6, 3), (vec![0, 1, 2, 3, 4, 5], vec![6, 7, 8]));
    }

    #[test]
    fn where_none_are_unused_validation_comes_from_the_end() {
        assert_eq!(one_class(10, 10, 3), ((0..7).collect(), vec![7, 8, 9]));
        assert_eq!(one_class(10, 9, 3), ((0..7).collect(), vec![7, 8, 9]));
    }

    #[test]
    fn small_classes_give_one_and_single_images_give_none() {
        assert_eq!(one_class(4, 4, 20), (vec![0, 1, 2], vec![3]));
        assert_eq!(one_class(2, 2, 20), (vec![0], vec![1]));
        assert_eq!(one_class(4, 1, 20), (vec![0], vec![1]));
        assert_eq!(one_class(1, 1, 20), (vec![0], vec![]));
        assert_eq!(one_class(1, 0, 20), (vec![], vec![]));
    }

    #[test]
    fn at_least_half_of_a_selection_stays_for_training() {
        assert_eq!(one_class(7, 7, 20), (vec![0, 1, 2, 3], vec![4, 5, 6]));
        assert_eq!(one_class(5, 1, 20), (vec![0], vec![1, 2, 3, 4]));
    }

    #[test]
    fn without_validation_no_class_is_unscored() {
        let split = split(&[0, 1, 1], 3, &request(vec![1, 2, 0], 0)).unwrap();
        assert_eq!((split.train.as_slice(), split.unscored.as_slice()), (&[0, 1, 2][..], &[][..]));
    }

    /// The cut of DARP and `CReST`: a long tail of labelled images and another one of unlabelled images.
    #[test]
    fn unlabelled_images_have_a_profile_of_their_own() {
        let labels: Vec<u32> = (0..60_000).map(|index| index % 10).collect();
        let profile = |largest| counts(ProfileShape::Exponential, 10, largest, 0.01);
        let left = LeftOver::UnlabelledOf(profile(3_000));
        let request = SplitRequest { left, ..request(profile(1_500), 100) };
        let found = split(&labels, 10, &request).unwrap();
        assert_eq!(found.train_counts, profile(1_500));
        let of =
            |class| found.unlabelled.iter().filter(|&&image| image % 10 == class).count() as u64;
        assert_eq!((0..10).map(of).collect::<Vec<_>>(), profile(3_000));
        let left = |left| SplitRequest { left, ..request.clone() };
        assert!(split(&labels, 10, &left(LeftOver::Unused)).unwrap().unlabelled.is_empty());
        let too_many =
            split(&labels, 10, &left(LeftOver::UnlabelledOf(vec![4_401; 10]))).unwrap_err();
        assert_eq!(
            too_many.to_string(),
            "class 0 is to have 4401 unlabelled images, but only 4400 are left behind those that are learnt or held out"
        );
    }

    #[test]
    fn a_seed_chooses_other_images_but_as_many() {
        let labels: Vec<u32> = (0..1_000).map(|index| index % 4).collect();
        let mut request = request(vec![100, 50, 20, 10], 10);
        let first = split(&labels, 4, &request).unwrap();
        request.order = SelectionOrder::Seeded(1);
        let seeded = split(&labels, 4, &request).unwrap();
        assert_eq!(seeded, split(&labels, 4, &request).unwrap());
        assert_eq!(first.train_counts, seeded.train_counts);
        assert_ne!(first.train, seeded.train);
        request.order = SelectionOrder::Seeded(2);
        assert_ne!(seeded.train, split(&labels, 4, &request).unwrap().train);
    }

    #[test]
    fn requests_that_do_not_fit_are_refused_in_words() {
        let refusal = |labels: &[u32], targets: &[u64]| {
            split(labels, 2, &request(targets.to_vec(), 1)).unwrap_err().to_string()
        };
        let refusals =
            [refusal(&[0, 1], &[1]), refusal(&[0, 2], &[1, 1]), refusal(&[0, 1], &[1, 5])];
        insta::assert_snapshot!(refusals.join("\n"), @r"
        1 class sizes were requested of a dataset with 2 classes
        image 1 has label 2, but there are only 2 classes
        class 1 is to keep 5 images, but has only 1
        ");
    }

    proptest! {
        #[test]
        fn every_class_gets_what_was_asked_for(
            labels in prop::collection::vec(0_u32..6, 0..200),
            fractions in prop::array::uniform6(0.0_f64..=1.0),
            requested in 0_usize..30,
            seed: u64,
        ) {
            let count = |indices: &[u32], class| {
                indices.iter().filter(|&&index| labels[index as usize] == class).count()
            };
            let everything: Vec<u32> = (0..labels.len() as u32).collect();
            let available: Vec<usize> = (0..6).map(|class| count(&everything, class)).collect();
            let targets: Vec<u64> = available
                .iter()
                .zip(fractions)
                .map(|(&n, fraction)| (n as f64 * fraction) as u64)
                .collect();
            let order = SelectionOrder::Seeded(seed);
            let left = LeftOver::Unlabelled;
            let request = SplitRequest { targets, validation_per_class: requested, left, order };
            let split = split(&labels, 6, &request).unwrap();

            let mut all = [&split.train[..], &split.validation, &split.unlabelled].concat();
            all.sort_unstable();
            prop_assert_eq!(&all, &everything, "every image has one purpose");
            prop_assert!(split.unlabelled.is_sorted_by(|a, b| a < b));

            prop_assert!(split.train.is_sorted_by(|a, b| a < b));
            prop_assert!(split.validation.is_sorted_by(|a, b| a < b));
            prop_assert!(split.train.iter().all(|i| split.validation.binary_search(i).is_err()));
            for class in 0..6_u32 {
                let n = class as usize;
                let train = count(&split.train, class);
                let held_out = count(&split.validation, class);
                let target = request.targets[n] as usize;
                prop_assert_eq!(split.train_counts[n], train as u64);
                prop_assert!(train <= target && train >= target.div_ceil(2));
                prop_assert!(held_out <= requested);
                // Training gives an image away only where no unused one is left.
                prop_assert!(train == target || train + held_out == available[n]);
                let unscored = requested > 0 && held_out == 0;
                prop_assert_eq!(split.unscored.contains(&class), unscored);
            }
        }
    }
}
