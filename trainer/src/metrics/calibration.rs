//! Expected calibration error (Guo et al., ICML 2017): 15 bins of equal width, (lo, hi], weighted
//! mean of |accuracy − mean confidence|.

use lcsl_run_dir::result::GroupErrors;

use crate::long_tail::ShotGroup;

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

    /// Images that lie in a bin.
    fn images(&self) -> u64 {
        self.bins.iter().map(|[images, ..]| images).sum()
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

/// The calibration of the classes with many, medium and few training images, each by itself.
#[derive(Debug, Clone)]
pub struct GroupedCalibration {
    groups: Vec<ShotGroup>,
    parts: [Calibration; 3],
}

impl GroupedCalibration {
    /// Of classes in these groups.
    pub fn new(groups: &[ShotGroup]) -> Self {
        Self { groups: groups.to_vec(), parts: Default::default() }
    }

    /// Counts one image of class `truth`.
    pub fn record(&mut self, truth: u32, confidence: f64, correct: bool) {
        self.parts[self.groups[truth as usize] as usize].record(confidence, correct);
    }

    /// The counts of each group as one list, to be summed over ranks.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut [u64]> {
        self.parts.iter_mut().map(Calibration::as_flattened_mut)
    }

    /// The error over all images, 0..1.
    pub fn error(&self) -> f64 {
        let mut all = Calibration::default();
        for part in &self.parts {
            for (sum, count) in all.bins.as_flattened_mut().iter_mut().zip(part.bins.as_flattened())
            {
                *sum += count;
            }
        }
        all.error(all.images())
    }

    /// The error over the images of each group.
    pub fn group_errors(&self) -> GroupErrors {
        let error = |group: ShotGroup| {
            let part = &self.parts[group as usize];
            let images = part.images();
            (images > 0).then(|| part.error(images))
        };
        GroupErrors {
            many: error(ShotGroup::Many),
            medium: error(ShotGroup::Medium),
            few: error(ShotGroup::Few),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_judged_by_themselves_and_together() {
        let mut grouped =
            GroupedCalibration::new(&[ShotGroup::Many, ShotGroup::Medium, ShotGroup::Many]);
        let mut all = Calibration::default();
        // Of the large classes a half is right at a confidence of 0.5; of the medium one nothing at 0.9.
        for (truth, confidence, correct) in
            [(0, 0.5, true), (2, 0.5, false), (1, 0.9, false), (0, 0.5, true), (2, 0.5, false)]
        {
            grouped.record(truth, confidence, correct);
            all.record(confidence, correct);
        }
        let GroupErrors { many, medium, few } = grouped.group_errors();
        assert!(many.unwrap() < 1e-12 && few.is_none());
        assert!((medium.unwrap() - 0.9).abs() < 1e-12);
        assert!((grouped.error() - all.error(5)).abs() < 1e-15);
        let summed: u64 = grouped.parts_mut().map(|part| part[0]).sum();
        assert_eq!(summed, 0, "no image is that unsure");
    }

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
