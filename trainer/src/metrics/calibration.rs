//! Expected calibration error (Guo et al., ICML 2017): 15 bins of equal width, (lo, hi], weighted
//! mean of |accuracy − mean confidence|.

const BINS: usize = 15;

/// Confidences are summed as integers of 2⁻⁴⁰, so that the sum does not depend on the order of
/// images or on the number of ranks.
const SCALE: f64 = (1_u64 << 40) as f64;

/// Counts per bin: images, correct ones, and the sum of confidences in units of 2⁻⁴⁰.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calibration {
    bins: [[u64; 3]; BINS],
}

impl Calibration {
    /// Counts one image. A confidence of exactly 0 lies in no bin and adds nothing, as in the
    /// definition.
    pub fn record(&mut self, confidence: f64, correct: bool) {
        let bin = (0..BINS).find(|i| {
            confidence > *i as f64 / BINS as f64 && confidence <= (i + 1) as f64 / BINS as f64
        });
        if let Some(bin) = bin {
            let [images, hits, sum] = &mut self.bins[bin];
            *images += 1;
            *hits += u64::from(correct);
            *sum += (confidence * SCALE).round() as u64;
        }
    }

    /// The counts as one list, to be summed over ranks.
    pub fn as_flattened_mut(&mut self) -> &mut [u64] {
        self.bins.as_flattened_mut()
    }

    /// The error, 0..1, over `images` images in all; 0 when there are none.
    pub fn error(&self, images: u64) -> f64 {
        self.bins
            .iter()
            .filter(|[count, ..]| *count > 0)
            .map(|[count, correct, sum]| {
                let accuracy = *correct as f64 / *count as f64;
                let confidence = *sum as f64 / SCALE / *count as f64;
                *count as f64 / images as f64 * (accuracy - confidence).abs()
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_calibration_has_no_error() {
        let mut calibration = Calibration::default();
        for correct in [true, true, true, false] {
            calibration.record(0.75, correct);
        }
        assert!(calibration.error(4) < 1e-12);
    }

    #[test]
    fn bins_are_open_below_and_closed_above() {
        let mut calibration = Calibration::default();
        calibration.record(0.0, false);
        calibration.record(1.0, true);
        calibration.record(1.0 / 15.0, true);
        assert_eq!(calibration.bins[0][0], 1, "1/15 belongs to the first bin, 0 to none");
        assert_eq!(calibration.bins[14][0], 1);
    }
}
