//! Pixels as numbers.

use std::sync::Arc;

use lcsl_data::datasets::PixelNormalisation;
use lcsl_data::images::Shape;
use tch::{Device, Kind, Tensor};

use super::pinned::Pinner;

/// Turns pixels into what a network sees.
#[derive(Debug)]
pub struct Normaliser {
    /// Bytes are multiplied by this, channel by channel (C).
    scale: Tensor,
    /// And this is added (C).
    shift: Tensor,
    pub(super) device: Device,
    /// Who is to be told where batches lie that go to this device.
    pub pinner: Option<Arc<Pinner>>,
}

impl Normaliser {
    /// (x / 255 − mean) / deviation for the first `channels` channels, on `device`; `pinner` knows
    /// memory that `device` reads by itself.
    pub fn new(
        normalisation: &PixelNormalisation,
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
