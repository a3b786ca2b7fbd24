//! Orders that draw some classes more often than they have images, and others less.
//!
//! Each class has a weight, a whole number, so that every machine agrees. The epoch's slots are
//! shared out class after class in proportion, with running sums rounded down: a class gets its
//! share or misses it by less than one image, and all shares together are the epoch. A keyed
//! permutation of all slots then mixes the classes.
//!
//! Inside a class its slots go round its images in laps, each lap in a random order of its own: a
//! class with seven slots for three images draws each of them twice, and one a third time.

use std::sync::Arc;

use super::keyed::Keyed;
use crate::random::{Purpose, Stream};

/// Weights that are not whole by nature are rounded down to multiples of 2^-40 of their unit, which
/// moves a share by less than 1/256 of an image in a set of 2^32, the most there can be.
pub(super) const FRACTION_BITS: u32 = 40;

/// The images of a training set by class.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Classes {
    /// Where each class begins in `places`, and where the last one ends.
    starts: Vec<u64>,
    /// The place of every image in the training set, class after class.
    places: Vec<u32>,
    /// Running sums of the classes' weights, from 0 to their total.
    weights: Vec<u128>,
}

impl Classes {
    /// Sorts images by label, and gives each class that has any the weight `weight(its images, the
    /// images of the largest class)`.
    pub(super) fn new(
        labels: impl Iterator<Item = u32> + Clone,
        weight: fn(u64, u64) -> u128,
    ) -> Self {
        let classes = labels.clone().max().map_or(0, |last| last as usize + 1);
        let mut starts = vec![0_u64; classes + 1];
        for label in labels.clone() {
            starts[label as usize + 1] += 1;
        }
        let largest = starts.iter().copied().max().unwrap_or(0);
        let mut weights = vec![0];
        let mut sum = 0;
        for &count in &starts[1..] {
            sum += if count == 0 { 0 } else { weight(count, largest) };
            weights.push(sum);
        }
        for class in 0..classes {
            starts[class + 1] += starts[class];
        }
        let mut next = starts.clone();
        let mut places = vec![0; starts[classes] as usize];
        for (place, label) in labels.enumerate() {
            let slot = &mut next[label as usize];
            places[*slot as usize] = place as u32;
            *slot += 1;
        }
        Self { starts, places, weights }
    }

    /// Images in all.
    pub(super) fn images(&self) -> u64 {
        self.places.len() as u64
    }

    /// The sum of the classes' weights.
    pub(super) fn weight(&self) -> u128 {
        self.weights.last().copied().unwrap_or(0)
    }
}

/// What a class weighs in one epoch: a mixture of its images and its own weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mixture {
    /// What each of its images adds.
    pub(super) image: u128,
    /// What each unit of its weight adds.
    pub(super) weight: u128,
}

/// The order of one epoch; cheap to make, whatever the number of images and classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resampled {
    classes: Arc<Classes>,
    mixture: Mixture,
    /// Mixes the slots of all classes.
    slots: Keyed,
    seed: u64,
    epoch: u64,
}

impl Resampled {
    pub(super) fn new(classes: Arc<Classes>, mixture: Mixture, seed: u64, epoch: u64) -> Self {
        let stream = Stream::new(seed, Purpose::Order, epoch, 0, 0);
        let slots = Keyed::new(classes.images(), stream);
        Self { classes, mixture, slots, seed, epoch }
    }

    pub(super) fn len(&self) -> u64 {
        self.classes.images()
    }

    /// The place in the training set of the image at `position`, which must be below the length.
    pub(super) fn at(&self, position: u64) -> u64 {
        let slot = self.slots.at(position);
        let class = self.class_of(slot);
        let start = self.classes.starts[class];
        let count = self.classes.starts[class + 1] - start;
        let turn = slot - self.first_slot(class);
        let (lap, place) = (turn / count, turn % count);
        let stream = Stream::new(self.seed, Purpose::Resampling, self.epoch, class as u64, lap);
        let member = start + Keyed::new(count, stream).at(place);
        u64::from(self.classes.places[member as usize])
    }

    /// The weight of all classes before `class`.
    fn weight_before(&self, class: usize) -> u128 {
        let images = u128::from(self.classes.starts[class]);
        self.mixture.image * images + self.mixture.weight * self.classes.weights[class]
    }

    fn total(&self) -> u128 {
        self.weight_before(self.classes.starts.len() - 1)
    }

    /// Slots of all classes before `class`: their part of the weight, rounded down.
    fn first_slot(&self, class: usize) -> u64 {
        (u128::from(self.len()) * self.weight_before(class) / self.total()) as u64
    }

    /// The class that `slot` belongs to: the last one whose first slot is not beyond it. (Classes
    /// without slots begin where the next one does, so none of them is ever the last.)
    fn class_of(&self, slot: u64) -> usize {
        let bound = u128::from(slot + 1) * self.total();
        let begins_by_then = |class| u128::from(self.len()) * self.weight_before(class) < bound;
        let (mut low, mut high) = (0, self.classes.starts.len() - 1);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if begins_by_then(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}
