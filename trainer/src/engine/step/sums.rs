//! What is added up over logical batches and ranks besides gradients. It stays where it was computed, until the host
//! reads what a step came to.

use std::ops::Range;

use lcsl_collective::CollectiveError;
use lcsl_collective::order::BinaryCounter;
use tch::{Device, Kind, Tensor};

use super::error::StepError;
use crate::admission::BesideStudent;
use crate::engine::host;

/// What one logical batch contributes.
#[derive(Debug)]
pub struct StepSums {
    /// Flat float64 on the device: running statistics as the logical batch alone would have left them, in the order of
    /// their flat buffer; mixup loss; loss of the admitted pseudo-labels, without α; labels of the teacher that are
    /// the student's, too.
    pub computed: Tensor,
    /// Images.
    pub images: u64,
    /// Labels of the teacher that were compared with the student's.
    pub compared: u64,
}

/// Numbers behind the running statistics.
const MEASURED: usize = 3;

/// Adds the sums of a rank's logical batches, in the shape of the tree over all logical ranks.
#[derive(Debug, Default)]
pub struct SumsOfRank {
    computed: BinaryCounter<Tensor>,
    /// What the host knows by itself.
    counted: Counted,
}

/// Small whole numbers, of which it does not matter in which order they are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counted {
    /// Logical batches that have images.
    logical_batches: u64,
    images: u64,
    /// Ranks that want to stop after this step.
    stop: u64,
    /// Ranks that want a checkpoint after this step.
    save: u64,
    /// Mixed images that were admitted under one of their two classes.
    agreeing: u64,
    /// Labels of the teacher that were compared with the student's.
    compared: u64,
}

impl Counted {
    const COUNT: usize = 6;

    fn to_list(self) -> [f64; Self::COUNT] {
        let Self { logical_batches, images, stop, save, agreeing, compared } = self;
        [logical_batches, images, stop, save, agreeing, compared].map(|count| count as f64)
    }

    fn of_list(list: [f64; Self::COUNT]) -> Self {
        let [logical_batches, images, stop, save, agreeing, compared] =
            list.map(|count| count as u64);
        Self { logical_batches, images, stop, save, agreeing, compared }
    }
}

/// What a rank wishes to happen after this step. It says so in the sums, so that all ranks learn of it in the
/// same step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// That training stop.
    pub stop: bool,
    /// That a checkpoint be written.
    pub save: bool,
}

impl Wishes {
    /// What either of two wishes.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { stop: self.stop || other.stop, save: self.save || other.save }
    }
}

impl StepSums {
    /// Of a logical batch of `images` (at least one), with its losses: of the mixture, and of what was admitted.
    /// `alike` are lists of whether a label of the teacher is the student's, too.
    pub fn of(
        running_statistics: &Tensor,
        [loss_mix, loss_self]: [&Tensor; 2],
        alike: &[Tensor],
        images: u64,
    ) -> Self {
        let compared = alike.iter().map(|list| list.numel() as u64).sum();
        let none = loss_mix.zeros_like();
        let alike = alike.iter().fold(none, |sum, list| sum + list.sum(Kind::Double));
        let parts = [running_statistics, loss_mix, loss_self, &alike];
        let parts = parts.map(|part| part.detach().to_kind(Kind::Double).view([-1]));
        Self { computed: Tensor::cat(&parts, 0), images, compared }
    }

    /// Of an empty logical batch: it weighs nothing, but takes its place in the tree of sums.
    pub fn empty(running_statistics: &Tensor) -> Self {
        let count = (running_statistics.numel() + MEASURED) as i64;
        Self { computed: zeros(count, running_statistics.device()), images: 0, compared: 0 }
    }
}

fn zeros(count: i64, device: Device) -> Tensor {
    Tensor::zeros([count], (Kind::Double, device))
}

impl SumsOfRank {
    /// Adds those of the next logical batch.
    pub fn push(&mut self, sums: StepSums) {
        self.counted.images += sums.images;
        self.counted.compared += sums.compared;
        self.counted.logical_batches += u64::from(sums.images > 0);
        self.computed.push(sums.computed, add);
    }

    /// What all ranks' sums add up to; `sum_over_ranks` adds a flat float64 tensor over the world, in place.
    /// `agreeing` is this rank's part of that count. What the host sends to the device is kept in `sent`.
    ///
    /// # Errors
    /// What the world reports.
    pub fn finish(
        self,
        wishes: Wishes,
        agreeing: u64,
        sent: &mut Vec<Tensor>,
        sum_over_ranks: impl FnOnce(&mut Tensor) -> Result<(), CollectiveError>,
    ) -> Result<StepTotals, CollectiveError> {
        let computed = self.computed.finish(add).expect("every rank has a logical rank");
        let (stop, save) = (u64::from(wishes.stop), u64::from(wishes.save));
        let counted =
            Tensor::from_slice(&Counted { stop, save, agreeing, ..self.counted }.to_list());
        let counted = host::send(counted, computed.device(), sent);
        let finite_here = computed.isfinite().all();
        let statistics = computed.numel() - MEASURED;
        let mut list = Tensor::cat(&[computed, counted], 0);
        sum_over_ranks(&mut list)?;
        Ok(StepTotals { list, statistics, finite_here })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `BinaryCounter` asks for")]
fn add(earlier: &mut Tensor, later: Tensor) {
    let _ = earlier.g_add_(&later);
}

/// What all logical batches of a micro-batch, on all ranks, add up to, on the device.
#[derive(Debug)]
pub struct StepTotals {
    /// Running statistics, losses, what was counted.
    list: Tensor,
    statistics: usize,
    /// Whether what this rank contributed was finite.
    finite_here: Tensor,
}

impl StepTotals {
    fn part(&self, elements: Range<usize>) -> Tensor {
        self.list.narrow(0, elements.start as i64, elements.len() as i64)
    }

    fn counted(&self, place: usize) -> Tensor {
        self.list.get((self.statistics + MEASURED + place) as i64)
    }

    /// How many numbers were summed.
    pub fn summed(&self) -> usize {
        self.list.numel()
    }

    /// Whether any logical batch has images.
    pub fn any(&self) -> Tensor {
        self.counted(0).gt(0.0)
    }

    /// Running statistics (flat, float64): the mean over logical batches with images; `before` where all are empty.
    pub fn running_statistics(&self, before: &Tensor) -> Tensor {
        let mean = self.part(0..self.statistics) / self.counted(0);
        mean.where_self(&self.any(), &before.to_kind(Kind::Double))
    }

    /// What a [`MicroBatchReport`] needs, in its order, with the running statistics as they moved.
    pub fn packed(&self, running_statistics: &Tensor) -> Tensor {
        let wrong = running_statistics.isfinite().logical_not();
        let first_wrong = match self.statistics {
            0 => zeros(1, self.list.device()),
            _ => wrong.to_kind(Kind::Int8).argmax(None, false).view([1]),
        };
        let flags = [wrong.any().view([1]), first_wrong, self.finite_here.view([1])];
        let [any_wrong, first_wrong, finite_here] = flags.map(|flag| flag.to_kind(Kind::Double));
        let summed = self.part(self.statistics..self.list.numel());
        Tensor::cat(&[summed, any_wrong, first_wrong, finite_here], 0)
    }
}

/// What a micro-batch came to, on the host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MicroBatchReport {
    /// Mixup loss.
    pub loss_mix: f64,
    /// Loss of the admitted pseudo-labels, without α.
    pub loss_self: f64,
    /// Images.
    pub images: u64,
    /// What any rank wishes.
    pub wishes: Wishes,
    /// Mixed images that were admitted under one of their two classes.
    pub agreeing: u64,
    /// The teacher's labels beside what the student says of the same images.
    pub student: BesideStudent,
    /// The first running statistic that is not finite, as its place in the flat buffer.
    pub wrong_statistic: Option<usize>,
    /// Whether what this rank contributed was finite; looked at when the sum is not.
    pub finite_here: bool,
}

impl MicroBatchReport {
    /// Numbers of which it is made.
    pub const COUNT: usize = MEASURED + Counted::COUNT + 3;
    /// The place of the number of images among them.
    pub const IMAGES: usize = MEASURED + 1;
    /// The place of what is 1 where a running statistic is not finite.
    pub const ANY_WRONG: usize = MEASURED + Counted::COUNT;

    /// Of what [`StepTotals::packed`] has packed.
    pub fn unpacked(numbers: &[f64; Self::COUNT]) -> Self {
        let [loss_mix, loss_self, alike, counted @ .., any_wrong, first_wrong, finite_here] =
            *numbers;
        let Counted { images, stop, save, agreeing, compared, .. } = Counted::of_list(counted);
        Self {
            loss_mix,
            loss_self,
            images,
            wishes: Wishes { stop: stop > 0, save: save > 0 },
            agreeing,
            student: BesideStudent { alike: alike as u64, compared },
            wrong_statistic: (any_wrong > 0.0).then_some(first_wrong as usize),
            finite_here: finite_here > 0.0,
        }
    }

    /// Refuses losses that are not finite. All ranks hold the same sums, so all of them do, or none.
    ///
    /// # Errors
    /// [`StepError::NotFinite`].
    pub fn check_losses(&self) -> Result<(), StepError> {
        let Self { loss_mix, loss_self, .. } = *self;
        if (loss_mix + loss_self).is_finite() {
            return Ok(());
        }
        Err(StepError::NotFinite { loss_mix, loss_self, here: !self.finite_here })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(statistics: &[f64], images: u64) -> StepSums {
        let [loss_mix, loss_self] = [0.5, 0.25].map(Tensor::from);
        let alike = [Tensor::from_slice(&[true, false]), Tensor::from_slice(&[true])];
        StepSums::of(&Tensor::from_slice(statistics), [&loss_mix, &loss_self], &alike, images)
    }

    fn totals(of: impl IntoIterator<Item = StepSums>, wishes: Wishes) -> StepTotals {
        let mut rank = SumsOfRank::default();
        of.into_iter().for_each(|one| rank.push(one));
        rank.finish(wishes, 3, &mut Vec::new(), |_| Ok(())).unwrap()
    }

    fn report(totals: &StepTotals, statistics: &Tensor) -> MicroBatchReport {
        let numbers = host::read(&totals.packed(statistics));
        MicroBatchReport::unpacked(numbers.first_chunk().unwrap())
    }

    #[test]
    fn an_empty_logical_batch_is_in_no_mean() {
        let before = Tensor::from_slice(&[7.0_f32]);
        let wishes = Wishes { stop: true, save: false };
        let totals = totals([sums(&[1.0], 3), StepSums::empty(&before), sums(&[4.0], 1)], wishes);
        let statistics = totals.running_statistics(&before);
        assert_eq!(host::read(&statistics), [2.5]);
        let expected = MicroBatchReport {
            loss_mix: 1.0,
            loss_self: 0.5,
            images: 4,
            wishes,
            agreeing: 3,
            student: BesideStudent { alike: 4, compared: 6 },
            wrong_statistic: None,
            finite_here: true,
        };
        assert_eq!(report(&totals, &statistics), expected);
        expected.check_losses().unwrap();
    }

    #[test]
    fn where_all_are_empty_the_statistics_stay() {
        let before = Tensor::from_slice(&[7.0_f32, 8.0]);
        let totals = totals([StepSums::empty(&before)], Wishes::default());
        assert_eq!(host::read(&totals.running_statistics(&before)), [7.0, 8.0]);
        assert_eq!(host::read(&totals.any()), [0.0]);
    }

    #[test]
    fn what_is_not_finite_is_told_with_its_place() {
        let wrong = [1.0, f64::NAN, f64::INFINITY];
        let before = Tensor::from_slice(&wrong).ones_like();

        let totals = totals([sums(&[0.0; 3], 1), sums(&wrong, 1)], Wishes::default());
        let found = report(&totals, &totals.running_statistics(&before));
        assert_eq!((found.wrong_statistic, found.finite_here), (Some(1), false));
        found.check_losses().unwrap();
        let lost = MicroBatchReport { loss_self: f64::NAN, ..found };
        assert!(matches!(lost.check_losses(), Err(StepError::NotFinite { here: true, .. })));
    }
}
