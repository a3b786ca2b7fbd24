//! Which positions of an epoch belong to which step and logical rank.
//!
//! A position is a place in the epoch's global order and, at the same time, the key of the
//! candidate that may arise there.

use std::ops::Range;

use lcsl_config::{ModelName, RunConfig};
use lcsl_data::batch::Piece;
use lcsl_data::share;
use thiserror::Error;

/// How an epoch is cut into global batches, each batch into micro-batches, and these into logical ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochPlan {
    /// Training images in the epoch.
    pub images: u64,
    /// Images of a global batch; the last one may be smaller.
    pub batch: u64,
    /// Micro-batches of a batch, in nearly equal shares.
    pub micro_batches: usize,
    /// Logical ranks that share each micro-batch.
    pub logical_ranks: usize,
}

impl EpochPlan {
    /// As the configuration says, of so many training images.
    pub fn of(config: &RunConfig, images: u64) -> Self {
        Self {
            images,
            batch: config.train.batch_size as u64,
            micro_batches: config.train.accumulate_steps,
            logical_ranks: config.run.virtual_ranks,
        }
    }

    /// Optimiser steps of one epoch.
    pub fn steps(&self) -> u64 {
        self.images.div_ceil(self.batch)
    }

    /// Positions of the global batch of `step`, which counts from 0 in the epoch.
    pub fn batch_at(&self, step: u64) -> Range<u64> {
        let start = (step * self.batch).min(self.images);
        start..(start + self.batch).min(self.images)
    }

    /// Positions of micro-batch `micro` of that batch.
    pub fn micro_batch_at(&self, step: u64, micro: usize) -> Range<u64> {
        share_of(&self.batch_at(step), self.micro_batches, micro)
    }

    /// Positions of that micro-batch which `logical_rank` owns; none when there are fewer images than
    /// logical ranks.
    pub fn positions_of(&self, step: u64, micro: usize, logical_rank: usize) -> Range<u64> {
        share_of(&self.micro_batch_at(step, micro), self.logical_ranks, logical_rank)
    }
}

/// From here on keys are those of unlabelled images; positions of training images never come this far.
pub const UNLABELLED_KEYS: u64 = 1 << 63;

/// How a stream of unlabelled images goes beside the training images of an epoch: `ratio` for each position, from lap
/// to lap over all of them, without a break where an epoch ends. A lap has each of them once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnlabelledPlan {
    /// Unlabelled images, at least 1.
    pub images: u64,
    /// Unlabelled images for each training image.
    pub ratio: u64,
    /// Training images of an epoch.
    pub epoch_images: u64,
}

impl UnlabelledPlan {
    /// What comes beside these positions of an epoch: one piece for each lap that they touch, with its number in place
    /// of the epoch's. None without positions.
    pub fn laps(&self, epoch: u64, positions: &Range<u64>) -> Vec<Piece> {
        let before = epoch * self.epoch_images;
        let mut start = (before + positions.start) * self.ratio;
        let end = (before + positions.end.max(positions.start)) * self.ratio;
        let mut laps = Vec::new();
        while start < end {
            let (lap, at) = (start / self.images, start % self.images);
            let count = (end - start).min(self.images - at);
            laps.push(Piece { epoch: lap, positions: at..at + count });
            start += count;
        }
        laps
    }

    /// The key of the image at position `at` of a lap, as a candidate of this epoch: its place in the epoch's stream,
    /// behind [`UNLABELLED_KEYS`].
    pub fn key(&self, epoch: u64, lap: u64, at: u64) -> u64 {
        UNLABELLED_KEYS + lap * self.images + at - epoch * self.epoch_images * self.ratio
    }

    /// The lap and the position in it that a key of this epoch stands for; none for the key of a training image.
    pub fn position_of(&self, epoch: u64, key: u64) -> Option<(u64, u64)> {
        let in_epoch = key.checked_sub(UNLABELLED_KEYS)?;
        let place = epoch * self.epoch_images * self.ratio + in_epoch;
        Some((place / self.images, place % self.images))
    }
}

/// Share `number` of `count` of some positions.
fn share_of(whole: &Range<u64>, count: usize, number: usize) -> Range<u64> {
    let share = share::range(whole.end - whole.start, count as u64, number as u64);
    whole.start + share.start..whole.start + share.end
}

/// One image whose last feature map is one pixel is one value per channel, of which batch normalisation
/// would take a variance: it divides by the number of values less one, and the running variance is NaN
/// from then on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "step {step} of an epoch of {images} images has a logical rank with a single image, of which {model} \
     leaves a single pixel at {image_size} pixels: batch normalisation finds no variance in it"
)]
pub struct SingleValue {
    /// The first such step, from 0.
    pub step: u64,
    /// Training images in the epoch.
    pub images: u64,
    /// The network.
    pub model: ModelName,
    /// Height and width of an image.
    pub image_size: usize,
}

/// Whether batch normalisation has more than one value per channel in every step of the run, the last
/// one of an epoch of `images` images included. With `sync_bn` the images of all ranks count together.
pub fn check_normalisation(config: &RunConfig, images: u64) -> Result<(), SingleValue> {
    let (model, image_size) = (config.model.name, config.data.image_size);
    if model.entry().smallest_map(image_size) > 1 {
        return Ok(());
    }
    let logical_ranks = if config.train.sync_bn { 1 } else { config.run.virtual_ranks };
    let plan = EpochPlan { logical_ranks, ..EpochPlan::of(config, images) };
    // All steps but the last have batches of one size.
    let mut steps = [0, plan.steps().saturating_sub(1)].into_iter();
    let is_single = |step: &u64| {
        let batches = (0..plan.micro_batches)
            .flat_map(|micro| (0..logical_ranks).map(move |rank| (micro, rank)));
        let mut sizes = batches.map(|(micro, rank)| plan.positions_of(*step, micro, rank));
        sizes.any(|positions| positions.end - positions.start == 1)
    };
    match steps.find(is_single) {
        Some(step) => Err(SingleValue { step, images, model, image_size }),
        None => Ok(()),
    }
}

/// The logical ranks that a rank runs, in order: a block of equal size for each rank of the world,
/// which divides them.
pub fn block(logical_ranks: usize, world_size: usize, rank: usize) -> Range<usize> {
    let size = logical_ranks / world_size;
    rank * size..(rank + 1) * size
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcsl_config::{Machine, parse_train};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_epoch_is_covered_once_and_in_order(
            images in 1_u64..500, batch in 1_u64..70, micro_batches in 1_usize..4,
            power in 0_u32..5, divisor in 0_u32..5
        ) {
            let logical_ranks = 1 << power;
            let world = 1 << divisor.min(power);
            let plan = EpochPlan { images, batch, micro_batches, logical_ranks };
            let mut next = 0;
            for step in 0..plan.steps() {
                for micro in 0..micro_batches {
                    for logical in (0..world).flat_map(|rank| block(logical_ranks, world, rank)) {
                        let share = plan.positions_of(step, micro, logical);
                        prop_assert_eq!(share.start, next);
                        next = share.end;
                    }
                }
            }
            prop_assert_eq!(next, images);
        }
    }

    proptest! {
        /// A run that is cut in the middle of an epoch and goes on in another world draws every image of the epoch
        /// once, whatever the two worlds are and however many logical ranks each of their ranks runs.
        #[test]
        fn an_epoch_that_is_cut_and_goes_on_in_another_world_is_covered_once(
            images in 1_u64..400, batch in 7_u64..70, worlds in (1_usize..=7, 1_usize..=7),
            per_rank in (1_usize..3, 1_usize..3), cut in 0_u64..400
        ) {
            let drawn = |(world, per_rank): (usize, usize), steps: Range<u64>| {
                let logical_ranks = world * per_rank;
                let plan = EpochPlan { images, batch, micro_batches: 1, logical_ranks };
                steps.flat_map(move |step| {
                    let ranks = (0..world).flat_map(move |rank| block(logical_ranks, world, rank));
                    ranks.flat_map(move |logical| plan.positions_of(step, 0, logical))
                })
            };
            let steps = images.div_ceil(batch);
            let cut = cut.min(steps);
            let before = drawn((worlds.0, per_rank.0), 0..cut);
            let positions: Vec<u64> = before.chain(drawn((worlds.1, per_rank.1), cut..steps)).collect();
            prop_assert_eq!(positions, (0..images).collect::<Vec<_>>());
        }
    }

    proptest! {
        /// Whatever the cut, the stream of unlabelled images is the same, and so are their keys: neither the world nor
        /// a resume changes who labels what. Each lap has every image once.
        #[test]
        fn unlabelled_images_come_in_one_stream_whatever_the_cut(
            images in 1_u64..60, ratio in 1_u64..8, epoch_images in 1_u64..60, batch in 1_u64..70, power in 0_u32..4
        ) {
            let plan = EpochPlan { images: epoch_images, batch, micro_batches: 1, logical_ranks: 1 << power };
            let unlabelled = UnlabelledPlan { images, ratio, epoch_images };
            let mut next = 0;
            for epoch in 0..3 {
                let mut key = UNLABELLED_KEYS;
                for step in 0..plan.steps() {
                    for logical in 0..plan.logical_ranks {
                        for Piece { epoch: lap, positions } in
                            unlabelled.laps(epoch, &plan.positions_of(step, 0, logical))
                        {
                            prop_assert!(positions.start < positions.end && positions.end <= images);
                            for at in positions {
                                prop_assert_eq!(lap * images + at, next);
                                prop_assert_eq!(unlabelled.key(epoch, lap, at), key);
                                prop_assert_eq!(unlabelled.position_of(epoch, key), Some((lap, at)));
                                next += 1;
                                key += 1;
                            }
                        }
                    }
                }
            }
            prop_assert_eq!(next, 3 * ratio * epoch_images);
            prop_assert_eq!(unlabelled.position_of(0, epoch_images), None);
        }
    }

    /// Story: a logical batch of one image, whose last feature map is one pixel, put NaN into the running variance,
    /// and the run ended with 0 at chance accuracy.
    #[test]
    fn a_single_value_per_channel_is_refused() {
        let checked = |flags: &str, images| {
            let flags: Vec<_> = flags.split(' ').map(Into::into).collect();
            let machine = Machine { cores: 2, gpus: None };
            check_normalisation(&parse_train(&flags, &machine).unwrap().config, images)
        };
        let flags = "--dataset=synthetic --image_size=8 --model=resnet34_cifar --batch_size=16";
        assert_eq!(checked(flags, 32), Ok(()));
        let found = checked(flags, 33).unwrap_err();
        assert_eq!((found.step, found.images), (2, 33));
        let sentence = "step 2 of an epoch of 33 images has a logical rank with a single image, of which \
             resnet34_cifar leaves a single pixel at 8 pixels: batch normalisation finds no variance in it";
        assert_eq!(found.to_string(), sentence);
        let four = |batch: u64| format!("{flags} --virtual_ranks=4 --batch_size={batch}");
        assert_eq!(checked(&four(7), 70).map_err(|found| found.step), Err(0), "one, two, two, two");
        assert_eq!(checked(&four(8), 72), Ok(()));
        assert_eq!(
            checked(&four(8), 74).map_err(|found| found.step),
            Err(9),
            "one, one, none, none"
        );
        // With statistics in common, one image of each rank is two together.
        let joined = format!("{flags} --batch_size=2 --gpu=cpu --nproc=2 --sync_bn");
        assert_eq!(checked(&joined, 64), Ok(()));
        assert_eq!(checked(&joined, 65).map_err(|found| found.step), Err(32));
        let cut = format!("{flags} --accumulate_steps=8");
        assert_eq!(checked(&cut, 32), Ok(()));
        assert_eq!(checked(&format!("{cut} --batch_size=15"), 30).map_err(|e| e.step), Err(0));
        assert_eq!(
            checked(&cut, 40).map_err(|found| found.step),
            Err(2),
            "eight micro-batches of one"
        );
        // Two pixels a side are four values.
        assert_eq!(checked(&flags.replace("=8", "=9"), 33), Ok(()));
        assert_eq!(checked(&flags.replace("resnet34_cifar", "resnet20"), 33), Ok(()));
    }

    #[test]
    fn a_last_batch_smaller_than_the_world_leaves_logical_ranks_empty() {
        let plan = EpochPlan { images: 66, batch: 64, micro_batches: 1, logical_ranks: 4 };
        let shares: Vec<_> = (0..4).map(|logical| plan.positions_of(1, 0, logical)).collect();
        assert_eq!(shares, [64..65, 65..66, 66..66, 66..66]);
    }
}
