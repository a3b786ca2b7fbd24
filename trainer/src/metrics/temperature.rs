//! Temperature scaling (Guo et al., ICML 2017, section 4.2): all logits divided by the one number under which the
//! negative log-likelihood of held-out images is smallest. No prediction changes, only how sure it is.
//!
//! With logits z, true class y and β = 1/T, the slope of an image is the expectation of z under softmax(βz) less the z
//! of y. The sum over images grows with β, so that halving an interval finds where it is zero.

/// β lies between 2⁻⁸ and 2⁸.
const EXPONENT_MAX: f64 = 8.0;

/// Halvings of that interval, on a scale of logarithms: β is exact to 10⁻⁶ of itself.
const HALVINGS: usize = 24;

/// Slopes are summed as integers of 2⁻²⁴, so that the sum does not depend on the order of images or on the number of
/// ranks.
const SCALE: f64 = (1_u64 << 24) as f64;

/// The slopes of some images, those that rise and those that fall apart, in units of 2⁻²⁴.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slopes {
    sums: [u64; 2],
}

impl Slopes {
    /// Adds the expectation of an image's logits less that of its true class.
    pub fn record(&mut self, slope: f64) {
        self.sums[usize::from(slope < 0.0)] += (slope.abs() * SCALE).round() as u64;
    }

    /// The sums as one list, to be summed over ranks.
    pub fn as_mut_slice(&mut self) -> &mut [u64] {
        &mut self.sums
    }

    /// Whether the likelihood is still to grow with β.
    fn falls(self) -> bool {
        let [up, down] = self.sums;
        down > up
    }
}

/// The temperature, 2⁻⁸ to 2⁸, for images whose `slopes` at a β are summed over all ranks. 1 where no β makes a
/// difference, as without images.
///
/// # Errors
/// Those of `slopes`.
pub fn temperature<E>(mut slopes: impl FnMut(f64) -> Result<Slopes, E>) -> Result<f64, E> {
    if slopes(1.0)?.sums == [0, 0] {
        return Ok(1.0);
    }
    let (mut low, mut high) = (-EXPONENT_MAX, EXPONENT_MAX);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if slopes(middle.exp2())?.falls() {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok((-f64::midpoint(low, high)).exp2())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Logits of 400 images in three classes, of which a classifier that is too sure gets three quarters right.
    fn images() -> Vec<([f64; 3], usize)> {
        (0..400_usize)
            .map(|at| {
                let sure = 2.0 + (at * 37 % 100) as f64 / 10.0;
                let mut logits = [0.3, -0.2, 0.1];
                logits[at % 3] += sure;
                (logits, if at % 4 == 0 { (at + 1) % 3 } else { at % 3 })
            })
            .collect()
    }

    fn softmax(logits: [f64; 3], beta: f64) -> [f64; 3] {
        let powers = logits.map(|it| (it * beta).exp());
        powers.map(|it| it / powers.iter().sum::<f64>())
    }

    fn likelihood(images: &[([f64; 3], usize)], temperature: f64) -> f64 {
        images.iter().map(|(z, y)| -softmax(*z, 1.0 / temperature)[*y].ln()).sum()
    }

    fn fitted(images: &[([f64; 3], usize)]) -> f64 {
        let found: Result<f64, Infallible> = temperature(|beta| {
            let mut slopes = Slopes::default();
            for (z, y) in images {
                let mean: f64 = softmax(*z, beta).iter().zip(z).map(|(p, z)| p * z).sum();
                slopes.record(mean - z[*y]);
            }
            Ok(slopes)
        });
        found.unwrap()
    }

    #[test]
    fn no_other_temperature_is_likelier() {
        let images = images();
        let found = fitted(&images);
        assert!(found > 2.0, "{found}: three quarters are right, and it is surer than that");
        let best = likelihood(&images, found);
        for other in [0.5, 0.9, 0.999, 1.001, 1.1, 2.0] {
            assert!(likelihood(&images, found * other) > best, "{other} times {found}");
        }
        // Divided by it, they need no other.
        let cooled: Vec<_> = images.iter().map(|(z, y)| (z.map(|it| it / found), *y)).collect();
        assert!((fitted(&cooled) - 1.0).abs() < 1e-5, "{}", fitted(&cooled));
    }

    #[test]
    fn what_has_no_best_temperature_ends_early_or_at_the_edge_and_no_images_at_one() {
        // Surer and surer, until the slope is too small to be seen.
        let all_right = [([0.0, 1.0, 0.0], 1)];
        assert!((1.0 / 256.0..0.1).contains(&fitted(&all_right)), "{}", fitted(&all_right));
        let all_wrong = [([0.0, 1.0, 0.0], 0)];
        assert!((fitted(&all_wrong) / 256.0 - 1.0).abs() < 1e-5, "{}", fitted(&all_wrong));
        assert!((fitted(&[]) - 1.0).abs() < f64::EPSILON);
    }
}
