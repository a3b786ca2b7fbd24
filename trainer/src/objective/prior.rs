//! Class priors: what is known of a label before the image is looked at.

/// A prior over classes, π ∝ n + w·a: n the training images of a class, a the images admitted to it in an epoch, on
/// average over those before. So it may change at every epoch's end, and is the same on every rank, as the ledger is.
///
/// Its logarithm is added to the student's logits in the loss (Ren et al., "Balanced meta-softmax",
/// NeurIPS 2020, eq. 3; with a scale τ, Menon et al., "Long-tail learning via logit adjustment", ICLR 2021,
/// eq. 10), and may be taken from the teacher's, which has learnt it where it was trained without.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// τ, by which the logarithm is multiplied; 1 is the balanced softmax.
    pub scale: f64,
    /// w, the weight of an admitted image beside a training image.
    pub admissions: f64,
    /// Whether the teacher labels with logits from which it is taken.
    pub corrects_teacher: bool,
}

impl Prior {
    /// τ·ln π of each class, with these training images, and admissions of an epoch.
    ///
    /// # Panics
    /// When a class has neither: nothing is known of it.
    pub fn logit_offsets(&self, counts: &[u64], admitted: &[f64]) -> Vec<f64> {
        let seen = |(count, admitted): (&u64, &f64)| *count as f64 + self.admissions * admitted;
        let seen: Vec<f64> = counts.iter().zip(admitted).map(seen).collect();
        assert!(seen.iter().all(|images| *images > 0.0), "every class has an image");
        let all: f64 = seen.iter().sum();
        seen.iter().map(|images| self.scale * (images / all).ln()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admissions_move_the_prior_towards_their_class() {
        let prior = Prior { scale: 1.0, admissions: 0.5, corrects_teacher: false };
        let shares = |admitted: [f64; 2]| -> Vec<f64> {
            let offsets = prior.logit_offsets(&[30, 10], &admitted);
            offsets.into_iter().map(f64::exp).collect()
        };
        for (admitted, expected) in [([0.0, 0.0], [0.75, 0.25]), ([0.0, 40.0], [0.5, 0.5])] {
            let found = shares(admitted);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        }
        let twice = Prior { scale: 2.0, ..prior };
        let (one, two) =
            (prior.logit_offsets(&[3, 1], &[0.0, 0.0]), twice.logit_offsets(&[3, 1], &[0.0, 0.0]));
        assert!((two[1] - 2.0 * one[1]).abs() < 1e-12);
    }
}
