//! Logical batches of a dataset, as tensors.

use std::sync::Arc;

use lcsl_data::DataError;
use lcsl_data::datasets::Normalisation;
use lcsl_data::images::Shape;
use lcsl_data::random::{Purpose, Stream};
use tch::{Device, Kind, Tensor};

use crate::engine::data::local_batch::{BatchSource, LogicalBatch, StepIndex};
use crate::engine::data::pinned::Pinner;
use crate::engine::data::train_loader::TrainLoader;

/// Turns pixels into what a network sees.
#[derive(Debug)]
pub struct Normaliser {
    /// Bytes are multiplied by this, channel by channel (C).
    scale: Tensor,
    /// And this is added (C).
    shift: Tensor,
    device: Device,
    /// Who is to be told where batches lie that go to this device.
    pub pinner: Option<Arc<Pinner>>,
}

impl Normaliser {
    /// (x / 255 − mean) / deviation for the first `channels` channels, on `device`; `pinner` knows
    /// memory that `device` reads by itself.
    pub fn new(
        normalisation: &Normalisation,
        channels: usize,
        device: Device,
        pinner: Option<Arc<Pinner>>,
    ) -> Self {
        let per_channel = || normalisation.mean.iter().zip(&normalisation.std).take(channels);
        let scale: Vec<f32> = per_channel().map(|(_, std)| 1.0 / (255.0 * std)).collect();
        let shift: Vec<f32> = per_channel().map(|(mean, std)| -mean / std).collect();
        let on_device = |values: &[f32]| Tensor::from_slice(values).to_device(device);
        Self { scale: on_device(&scale), shift: on_device(&shift), device, pinner }
    }

    /// Bytes of images, (N, H, W, C) in row-major order, as normalised float32 (N, H, W, 3); a grey
    /// channel is repeated.
    pub fn apply(&self, pixels: &[u8], images: usize, shape: Shape) -> Tensor {
        let channels = shape.channels as i64;
        let size = [images as i64, shape.height as i64, shape.width as i64, channels];
        let pinner = self.pinner.as_ref();
        let uploaded = pinner.and_then(|pinner| pinner.upload(pixels, &size, self.device));
        let bytes = uploaded.unwrap_or_else(|| {
            Tensor::from_data_size(pixels, &size, Kind::Uint8).to_device(self.device)
        });
        let values = bytes.to_kind(Kind::Float) * &self.scale + &self.shift;
        if channels == 3 { values } else { values.repeat([1, 1, 1, 3]) }
    }
}

/// How images of a logical batch are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    /// Not at all: λ = 1.
    None,
    /// One λ ~ Beta(1, 1) per step, a permutation per logical rank.
    Mixup,
}

/// Supplies the logical ranks of one rank with augmented training images.
pub struct DatasetBatches {
    /// Images in the order of an epoch.
    pub loader: TrainLoader,
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
        let shape = self.loader.shape;
        let raw = self.loader.next_batch()?;
        let (count, keys) = (raw.labels.len(), raw.positions);
        self.sent.clear();
        let device = self.normaliser.device;
        let labels = send(&raw.labels, device, &mut self.sent);
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
        let permutation = send(&permutation, device, &mut self.sent);
        let images = self.normaliser.apply(&raw.pixels, count, shape);
        Ok(LogicalBatch { images, labels, permutation, lambda, keys })
    }
}

/// A few numbers on `device`; to a GPU the host does not wait for them.
///
/// `sent` keeps them until the copy is over. It goes into the default stream ahead of the images, so it
/// is over when theirs is: for that the next [`TrainLoader::next_batch`] waits before it lends the next batch, and
/// where images are copied from memory that the GPU cannot read by itself, the copy itself waits.
fn send(numbers: &[i64], device: Device, sent: &mut Vec<Tensor>) -> Tensor {
    let numbers = Tensor::from_slice(numbers);
    let there = numbers.to_device_(device, Kind::Int64, true, false);
    sent.push(numbers);
    there
}

impl BatchSource for DatasetBatches {
    fn micro_batches(&self) -> usize {
        1
    }

    fn global_images(&self, index: StepIndex, _micro: usize) -> u64 {
        let batch = self.loader.plan.batch_at(index.step);
        batch.end - batch.start
    }

    fn batches(&mut self, index: StepIndex, _micro: usize) -> Result<Vec<LogicalBatch>, DataError> {
        self.loader.go_to(index);
        let block = self.loader.block.clone();
        block.map(|logical_rank| self.logical_batch(index, logical_rank)).collect()
    }
}
