//! The logical batches of a global batch.

use lcsl_data::DataError;
use tch::Tensor;

/// Which optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepIndex {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step in the epoch, from 0.
    pub step: u64,
    /// Steps of the epoch.
    pub steps: u64,
}

/// What one logical rank works on in one micro-batch; it may be empty.
#[derive(Debug)]
pub struct LogicalBatch {
    /// Normalised images (N, H, W, 3).
    pub images: Tensor,
    /// Classes (N), i64.
    pub labels: Tensor,
    /// With which image of the logical batch each image is mixed (N), i64.
    pub permutation: Tensor,
    /// Weights of each image itself and of its partner in the mixture (N × 2), in the images' type.
    pub mixing: Tensor,
    /// Keys of the images (N), ascending. They are positions in the epoch, and one is missing where an
    /// image was skipped.
    pub keys: Vec<u64>,
}

impl LogicalBatch {
    /// Number of images.
    pub fn images(&self) -> u64 {
        self.labels.size()[0] as u64
    }

    /// Mixup (Zhang et al., ICLR 2018): λ·x + (1 − λ)·x∘permutation, shape as `images`.
    pub fn mix(&self) -> Tensor {
        let partners = self.images.index_select(0, &self.permutation);
        let [own, other] = [0, 1].map(|column| self.mixing.select(1, column).view([-1, 1, 1, 1]));
        &self.images * own + partners * other
    }
}

/// Who supplies a rank with logical batches: a dataset in training, stored values in the golden tests.
pub trait BatchSource {
    /// Micro-batches of a step; more than one means gradient accumulation.
    fn micro_batches(&self) -> usize;

    /// Images of a micro-batch over all ranks, as planned: fewer come where some are skipped.
    fn global_images(&self, index: StepIndex, micro: usize) -> u64;

    /// The logical batches of this rank's logical ranks, in order.
    ///
    /// # Errors
    /// When an image cannot be read.
    fn batches(&mut self, index: StepIndex, micro: usize) -> Result<Vec<LogicalBatch>, DataError>;
}
