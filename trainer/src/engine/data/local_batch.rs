//! The logical batches of a global batch.

use lcsl_data::DataError;
use tch::Tensor;

use crate::objective::Patch;

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
    /// The rectangle that each image has from its partner; none where the sum of both is taken.
    pub patch: Option<Patch>,
    /// Keys of the images (N), ascending. They are positions in the epoch, and one is missing where an
    /// image was skipped.
    pub keys: Vec<u64>,
    /// Unlabelled images beside them, where the stage at hand labels some.
    pub unlabelled: Option<UnlabelledBatch>,
}

/// Unlabelled images beside those of a logical batch.
#[derive(Debug)]
pub struct UnlabelledBatch {
    /// Normalised images (U, H, W, 3), as the teacher sees them.
    pub weak: Tensor,
    /// The same images as they are learnt (U, H, W, 3).
    pub strong: Tensor,
    /// Their keys (U), ascending, behind those of all training images (`plan::UNLABELLED_KEYS`).
    pub keys: Vec<u64>,
}

impl LogicalBatch {
    /// Number of images.
    pub fn images(&self) -> u64 {
        self.labels.size()[0] as u64
    }

    /// Mixup (Zhang et al., ICLR 2018), λ·x + (1 − λ)·x∘permutation, or with a rectangle `CutMix` (Yun et al., ICCV
    /// 2019); shape as `images`.
    pub fn mix(&self) -> Tensor {
        let partners = self.images.index_select(0, &self.permutation);
        if let Some(Patch { rows, columns }) = &self.patch {
            let within = |images: &Tensor| {
                let rows = images.narrow(1, rows.start, rows.end - rows.start);
                rows.narrow(2, columns.start, columns.end - columns.start)
            };
            let mixed = self.images.copy();
            within(&mixed).copy_(&within(&partners));
            return mixed;
        }
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

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_rectangle_comes_from_the_partner_and_the_rest_from_the_image() {
        let pixels = Tensor::arange(2 * 3 * 4 * 3, (Kind::Float, Device::Cpu)).view([2, 3, 4, 3]);
        let batch = LogicalBatch {
            images: pixels.shallow_clone(),
            labels: Tensor::from_slice(&[0_i64, 1]),
            permutation: Tensor::from_slice(&[1_i64, 0]),
            mixing: Tensor::from_slice(&[0.5_f32; 4]).view([2, 2]),
            patch: Some(Patch { rows: 1..3, columns: 0..2 }),
            keys: vec![0, 1],
            unlabelled: None,
        };
        let mixed = batch.mix();
        for (image, row, column) in
            [(0_i64, 0_i64, 0_i64), (0, 1, 0), (1, 2, 1), (1, 2, 2), (0, 0, 3)]
        {
            let is_inside = (1..3).contains(&row) && (0..2).contains(&column);
            let from = if is_inside { 1 - image } else { image };
            let pixel = |tensor: &Tensor, image| tensor.double_value(&[image, row, column, 2]);
            let (found, expected) = (pixel(&mixed, image), pixel(&pixels, from));
            assert!((found - expected).abs() < 1e-9, "image {image}, row {row}, column {column}");
        }
        assert_eq!(batch.images, pixels, "the images themselves stay as they are");
    }
}
