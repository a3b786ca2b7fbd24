//! Parts of global batches, from a dataset.

use std::ops::Range;

use lcsl_data::DataError;
use lcsl_data::random::{Purpose, Stream};
use tch::{Device, Tensor};

use crate::engine::data::local_batch::{BatchSource, LogicalBatch, StepIndex};
use crate::engine::data::normaliser::Normaliser;
use crate::engine::data::train_loader::TrainLoader;
use crate::objective::Mixing;
use crate::plan::EpochPlan;

/// Supplies the logical ranks of one rank with augmented training images.
pub struct DatasetBatches {
    /// Images in the order of an epoch.
    pub loader: TrainLoader,
    /// Who gets which.
    pub plan: EpochPlan,
    /// The logical ranks of this rank.
    pub block: Range<usize>,
    /// How images are mixed.
    pub mixing: Mixing,
    /// Seed of the run.
    pub seed: u64,
    /// Pixels to numbers.
    pub normaliser: Normaliser,
    /// Numbers that were sent to a GPU: see `send`. Dropped after `loader`, which waits for what it lent.
    pub(crate) sent: Vec<Tensor>,
}

impl DatasetBatches {
    fn logical_batch(
        &mut self,
        index: StepIndex,
        logical_rank: usize,
    ) -> Result<LogicalBatch, DataError> {
        let positions = self.plan.positions_of(index.step, logical_rank);
        let shape = self.loader.shape;
        let bytes = self.loader.next_batch(index, logical_rank, positions)?;
        let (count, keys) = (bytes.labels.len(), bytes.positions);
        self.sent.clear();
        let device = self.normaliser.device;
        let labels = send(Tensor::from_slice(&bytes.labels), device, &mut self.sent);
        let stream =
            |purpose, place| Stream::new(self.seed, purpose, index.epoch, index.step, place);
        let (lambda, permutation) = match self.mixing {
            Mixing::None => (1.0, (0..count as i64).collect()),
            Mixing::Mixup => {
                let lambda = stream(Purpose::Mixup, 0).unit(); // Beta(1, 1) is uniform
                let mut order = stream(Purpose::Permutation, logical_rank as u64);
                (lambda, order.permutation(count))
            }
        };
        let permutation = send(Tensor::from_slice(&permutation), device, &mut self.sent);
        let weights = [lambda, 1.0 - lambda].map(|weight| weight as f32);
        let mixing = Tensor::from_slice(&vec![weights; count].concat()).view([count as i64, 2]);
        let mixing = send(mixing, device, &mut self.sent);
        let images = self.normaliser.apply(&bytes.pixels, count, shape);
        Ok(LogicalBatch { images, labels, permutation, mixing, keys })
    }
}

/// A few numbers on `device`; to a GPU the host does not wait for them.
///
/// `sent` keeps them until the copy is over. It goes into the default stream ahead of the images, so it
/// is over when theirs is: for that the next [`TrainLoader::next_batch`] waits before it lends the next batch, and
/// where images are copied from memory that the GPU cannot read by itself, the copy itself waits.
fn send(numbers: Tensor, device: Device, sent: &mut Vec<Tensor>) -> Tensor {
    let there = numbers.to_device_(device, numbers.kind(), true, false);
    sent.push(numbers);
    there
}

impl BatchSource for DatasetBatches {
    fn micro_batches(&self) -> usize {
        1
    }

    fn global_images(&self, index: StepIndex, _micro: usize) -> u64 {
        let batch = self.plan.batch_at(index.step);
        batch.end - batch.start
    }

    fn batches(&mut self, index: StepIndex, _micro: usize) -> Result<Vec<LogicalBatch>, DataError> {
        self.block.clone().map(|logical_rank| self.logical_batch(index, logical_rank)).collect()
    }
}
