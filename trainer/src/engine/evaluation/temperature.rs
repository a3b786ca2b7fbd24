//! Temperature scaling of a model that is measured by all ranks.

use lcsl_collective::control::HeartbeatCell;
use lcsl_collective::{Communicator, Values};
use tch::{Device, Kind, Tensor};

use super::evaluate::{EvaluateError, Seen, predictions};
use crate::metrics::GroupedCalibration;
use crate::metrics::temperature::{Slopes, temperature};

/// Bytes of logits that all ranks together keep: the first images of a set, as many in any world.
const KEPT_BYTES: usize = 512 << 20;

/// Logits of validation images, batch by batch as they were measured, for one classifier.
#[derive(Default)]
pub(super) struct KeptLogits {
    /// Logits (N × classes, float32) and true classes (N × 1).
    batches: Vec<(Tensor, Tensor)>,
}

impl KeptLogits {
    /// Keeps a batch, unless the images before it are enough; so many `classifiers` keep theirs.
    pub(super) fn keep(&mut self, seen: &Seen<'_>, classifiers: usize) {
        let Seen { start, logits, labels, .. } = seen;
        let bytes_of_an_image = logits.size()[1] as usize * size_of::<f32>() * classifiers;
        if (start + labels.len()) * bytes_of_an_image <= KEPT_BYTES {
            let logits = logits.to_kind(Kind::Float).to_device(Device::Cpu);
            self.batches.push((logits, Tensor::from_slice(labels).unsqueeze(1)));
        }
    }

    /// The temperature under which these images are likeliest. Collective; the same in any world, to the last bit.
    pub(super) fn temperature(
        &self,
        world: &mut dyn Communicator,
        heartbeat: &HeartbeatCell,
    ) -> Result<f64, EvaluateError> {
        let _guard = tch::no_grad_guard();
        temperature(|beta| {
            heartbeat.progress();
            let mut slopes = Slopes::default();
            for (logits, labels) in &self.batches {
                let logits = logits.to_kind(Kind::Double);
                let mean = ((&logits * beta).softmax(-1, None) * &logits)
                    .sum_dim_intlist(1_i64, false, None);
                let slope = mean - logits.gather(1, labels, false).squeeze_dim(1);
                let mut values = vec![0.0; labels.size()[0] as usize];
                let count = values.len();
                slope.copy_data(&mut values, count);
                for slope in values {
                    slopes.record(slope);
                }
            }
            world.all_reduce_sum(Values::U64(slopes.as_mut_slice()))?;
            Ok(slopes)
        })
    }
}

/// Counts these images with logits divided by a temperature.
pub(super) fn record(calibration: &mut GroupedCalibration, seen: &Seen<'_>, temperature: f64) {
    let (confidences, labels) = predictions(&(seen.logits.to_kind(Kind::Double) / temperature));
    for ((truth, predicted), confidence) in seen.labels.iter().zip(labels).zip(confidences) {
        calibration.record(*truth as u32, confidence, predicted == *truth);
    }
}
