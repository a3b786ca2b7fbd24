//! Logical batches of a dataset, as tensors.

use lcsl_data::DataError;
use lcsl_data::random::{Purpose, Stream};
use tch::Tensor;

use crate::engine::data::local_batch::{BatchSource, LogicalBatch, StepIndex};
use crate::engine::data::normaliser::Normaliser;
use crate::engine::data::train_loader::TrainLoader;
use crate::engine::data::unlabelled::UnlabelledLoader;
use crate::engine::host;
use crate::objective::{Mixing, Patch};

/// Supplies the logical ranks of one rank with augmented training images.
pub struct DatasetBatches {
    /// Images in the order of an epoch.
    pub loader: TrainLoader,
    /// Unlabelled images beside them, where there are some.
    pub unlabelled: Option<UnlabelledLoader>,
    /// Whether the stage at hand labels them.
    pub labels_unlabelled: bool,
    /// How images are mixed.
    pub mixing: Mixing,
    /// Seed of the run.
    pub seed: u64,
    /// Pixels to numbers.
    pub normaliser: Normaliser,
    /// Numbers that were sent to a GPU ahead of the images of the last batch: they are there when those are, for which
    /// the next [`TrainLoader::next_batch`] waits before it lends the next batch; and where images are copied from
    /// memory that the GPU cannot read by itself, the copy itself waits. Dropped after `loader`, which waits for what
    /// it lent.
    pub(crate) sent: Vec<Tensor>,
}

impl DatasetBatches {
    /// The next logical batch; its permutation is the one of this `place` in the step.
    fn logical_batch(&mut self, index: StepIndex, place: usize) -> Result<LogicalBatch, DataError> {
        let shape = self.loader.shape;
        let raw = self.loader.next_batch()?;
        let unlabelled = self.unlabelled.as_mut().filter(|_| self.labels_unlabelled);
        let unlabelled = unlabelled.map(|it| it.next_batch(&raw.piece, &self.normaliser));
        let unlabelled = unlabelled.transpose()?;
        let (count, keys) = (raw.labels.len(), raw.positions);
        self.sent.clear();
        let device = self.normaliser.device;
        let labels = host::send(Tensor::from_slice(&raw.labels), device, &mut self.sent);
        let stream =
            |purpose, place| Stream::new(self.seed, purpose, index.epoch, index.step, place);
        let mut drawn = stream(Purpose::Mixup, 0);
        let (lambda, patch) = match self.mixing {
            Mixing::None => (1.0, None),
            Mixing::Mixup => (drawn.unit(), None), // Beta(1, 1) is uniform
            Mixing::Cutmix => {
                let (lambda, centre) = (drawn.unit(), (drawn.unit(), drawn.unit()));
                let size = (shape.height as i64, shape.width as i64);
                let (patch, left) = Patch::drawn(lambda, centre, size);
                (left, Some(patch))
            }
        };
        let permutation = match self.mixing {
            Mixing::None => (0..count as i64).collect(),
            Mixing::Mixup | Mixing::Cutmix => {
                stream(Purpose::Permutation, place as u64).permutation(count)
            }
        };
        let permutation = host::send(Tensor::from_slice(&permutation), device, &mut self.sent);
        let weights = [lambda, 1.0 - lambda].map(|weight| weight as f32);
        let mixing = Tensor::from_slice(&vec![weights; count].concat()).view([count as i64, 2]);
        let mixing = host::send(mixing, device, &mut self.sent);
        let images = self.normaliser.apply(&raw.pixels, count, shape);
        Ok(LogicalBatch { images, labels, permutation, mixing, patch, keys, unlabelled })
    }
}

impl BatchSource for DatasetBatches {
    fn micro_batches(&self) -> usize {
        self.loader.plan.micro_batches
    }

    fn global_images(&self, index: StepIndex, micro: usize) -> u64 {
        let batch = self.loader.plan.micro_batch_at(index.step, micro);
        batch.end - batch.start
    }

    fn batches(&mut self, index: StepIndex, micro: usize) -> Result<Vec<LogicalBatch>, DataError> {
        if micro == 0 {
            self.loader.go_to(index);
            if let Some(unlabelled) = self.unlabelled.as_mut().filter(|_| self.labels_unlabelled) {
                let loader = &self.loader;
                unlabelled.go_to(index, || loader.pieces_from(index), loader.sizes());
            }
        }
        let first = micro * self.loader.plan.logical_ranks; // each permutation has a place of its own
        let block = self.loader.block.clone();
        block.map(|logical_rank| self.logical_batch(index, first + logical_rank)).collect()
    }
}
