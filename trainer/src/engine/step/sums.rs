//! What is added up over logical batches and ranks besides gradients.

use lcsl_collective::CollectiveError;
use lcsl_collective::order::BinaryCounter;

/// What one logical batch contributes, and what several of them add up to.
///
/// On its way to other ranks it is one list of float64: the running statistics in the order of their
/// flat buffer, then the scalars in the order of [`Scalars::to_list`].
#[derive(Debug, Clone, PartialEq)]
pub struct StepSums {
    /// Running statistics as the logical batch alone would have left them (flat), added up.
    pub running_statistics: Vec<f64>,
    /// The numbers that are no statistics.
    pub scalars: Scalars,
}

/// The numbers that travel behind the running statistics.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scalars {
    /// Logical batches that have images.
    pub logical_batches: f64,
    /// Mixup loss.
    pub loss_mix: f64,
    /// Loss of the admitted pseudo-labels, without α.
    pub loss_self: f64,
    /// Ranks that want to stop after this step.
    pub stop: f64,
    /// Ranks that want a checkpoint after this step.
    pub save: f64,
    /// Images.
    pub images: f64,
    /// Mixed images that were admitted under one of their two classes.
    pub agreeing: f64,
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

/// What all logical batches of a micro-batch, on all ranks, add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTotals {
    /// Running statistics: the mean over logical batches with images (flat); none where all are empty.
    pub running_statistics: Option<Vec<f64>>,
    /// Images.
    pub images: u64,
    /// Mixup loss.
    pub loss_mix: f64,
    /// Loss of the admitted pseudo-labels, without α.
    pub loss_self: f64,
    /// What any rank wishes.
    pub wishes: Wishes,
    /// Mixed images that were admitted under one of their two classes.
    pub agreeing: u64,
    /// Whether what this rank contributed was finite; looked at when the sum is not.
    pub finite_here: bool,
}

impl Scalars {
    const COUNT: usize = 7;

    fn to_list(self) -> [f64; Self::COUNT] {
        let Self { logical_batches, loss_mix, loss_self, stop, save, images, agreeing } = self;
        [logical_batches, loss_mix, loss_self, stop, save, images, agreeing]
    }

    fn from_list(list: [f64; Self::COUNT]) -> Self {
        let [logical_batches, loss_mix, loss_self, stop, save, images, agreeing] = list;
        Self { logical_batches, loss_mix, loss_self, stop, save, images, agreeing }
    }
}

impl StepSums {
    /// Of an empty logical batch: it weighs nothing, but takes its place in the tree of sums.
    pub fn empty(running_statistics: usize) -> Self {
        let running_statistics = vec![0.0; running_statistics];
        Self { running_statistics, scalars: Scalars::default() }
    }

    fn to_list(&self) -> Vec<f64> {
        let mut list = self.running_statistics.clone();
        list.extend(self.scalars.to_list());
        list
    }

    fn from_list(mut list: Vec<f64>) -> Self {
        let scalars = list.split_off(list.len() - Scalars::COUNT);
        let scalars = scalars.try_into().expect("the list was cut that far from its end");
        Self { running_statistics: list, scalars: Scalars::from_list(scalars) }
    }
}

/// Adds the sums of a rank's logical batches, in the shape of the tree over all logical ranks.
#[derive(Debug, Default)]
pub struct SumsOfRank {
    lists: BinaryCounter<Vec<f64>>,
}

impl SumsOfRank {
    /// Adds those of the next logical batch.
    pub fn push(&mut self, sums: &StepSums) {
        self.lists.push(sums.to_list(), add_lists);
    }

    /// What all ranks' sums add up to; `sum_over_ranks` adds a list over the world, in place. `agreeing` is this rank's
    /// part of that count.
    ///
    /// # Errors
    /// What the world reports.
    pub fn finish(
        self,
        wishes: Wishes,
        agreeing: u64,
        sum_over_ranks: impl FnOnce(&mut Vec<f64>) -> Result<(), CollectiveError>,
    ) -> Result<StepTotals, CollectiveError> {
        let list = self.lists.finish(add_lists).expect("every rank has a logical rank");
        let mut mine = StepSums::from_list(list);
        let flag = |wish: bool| f64::from(u8::from(wish));
        (mine.scalars.stop, mine.scalars.save) = (flag(wishes.stop), flag(wishes.save));
        mine.scalars.agreeing = agreeing as f64;
        let mut list = mine.to_list();
        let finite_here = list.iter().all(|value| value.is_finite());
        sum_over_ranks(&mut list)?;
        let StepSums { running_statistics, scalars } = StepSums::from_list(list);
        let batches = scalars.logical_batches;
        let mean = || running_statistics.iter().map(|sum| sum / batches).collect();
        Ok(StepTotals {
            running_statistics: (batches > 0.0).then(mean),
            images: scalars.images as u64,
            loss_mix: scalars.loss_mix,
            loss_self: scalars.loss_self,
            wishes: Wishes { stop: scalars.stop > 0.0, save: scalars.save > 0.0 },
            agreeing: scalars.agreeing as u64,
            finite_here,
        })
    }
}

#[allow(clippy::ptr_arg)] // the shape that `BinaryCounter` asks for
fn add_lists(earlier: &mut Vec<f64>, later: Vec<f64>) {
    for (sum, value) in earlier.iter_mut().zip(later) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(statistic: f64, images: f64) -> StepSums {
        let scalars = Scalars { logical_batches: 1.0, images, loss_mix: 0.5, ..Scalars::default() };
        StepSums { running_statistics: vec![statistic], scalars }
    }

    #[test]
    fn an_empty_logical_batch_is_in_no_mean() {
        let mut rank = SumsOfRank::default();
        for one in [sums(1.0, 3.0), StepSums::empty(1), sums(4.0, 1.0)] {
            rank.push(&one);
        }
        let wishes = Wishes { stop: true, save: false };
        let totals = rank.finish(wishes, 3, |_| Ok(())).unwrap();
        assert_eq!(totals.running_statistics, Some(vec![2.5]));
        assert_eq!((totals.images, totals.wishes, totals.finite_here), (4, wishes, true));
        assert!((totals.loss_mix - 1.0).abs() < 1e-15);
        assert_eq!(totals.agreeing, 3);
    }

    #[test]
    fn where_all_are_empty_there_are_no_statistics() {
        let mut rank = SumsOfRank::default();
        rank.push(&StepSums::empty(2));
        assert_eq!(rank.finish(Wishes::default(), 0, |_| Ok(())).unwrap().running_statistics, None);
    }
}
