//! The learning rate of an epoch.

use std::f64::consts::PI;

/// How the rate goes after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Half a cosine that never reaches zero, as the published code has it.
    Cosine,
    /// A straight line that never reaches zero.
    Linear,
    /// Multiplied by `factor` after every so many `epochs` (at least 1), counted from the first.
    Step {
        /// Epochs from one fall to the next.
        epochs: u64,
        /// In (0, 1].
        factor: f64,
    },
    /// Not at all.
    Constant,
}

/// Linear warm-up over `warmup` epochs, then as `shape` says. `epoch` counts from 0.
pub fn learning_rate(shape: Shape, base: f64, epoch: u64, epochs: u64, warmup: u64) -> f64 {
    if epoch < warmup {
        return base / warmup as f64 * (epoch + 1) as f64;
    }
    let done = (epoch - warmup + 1) as f64;
    let span = (epochs.saturating_sub(warmup) + 1) as f64;
    match shape {
        Shape::Cosine => base * 0.5 * (1.0 + (PI * done / span).cos()),
        Shape::Linear => base * (1.0 - done / span).max(0.0),
        Shape::Step { epochs, factor } => base * factor.powf((epoch / epochs) as f64),
        Shape::Constant => base,
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, learning_rate};

    #[test]
    fn the_rate_rises_falls_and_never_reaches_zero() {
        let rates: Vec<f64> =
            (0..12).map(|epoch| learning_rate(Shape::Cosine, 0.05, epoch, 12, 2)).collect();
        assert!(rates[0] < rates[1] && (rates[1] - 0.05).abs() < 1e-15);
        assert!(rates[2..].windows(2).all(|pair| pair[0] > pair[1]));
        assert!(rates[11] > 0.0);
    }

    #[test]
    fn every_shape_begins_at_the_end_of_the_warm_up() {
        let rates = |shape| -> Vec<f64> {
            (0..6).map(|epoch| learning_rate(shape, 1.0, epoch, 6, 2)).collect()
        };
        assert_eq!(rates(Shape::Constant), [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]);
        let line = rates(Shape::Linear);
        for (found, expected) in line.iter().zip([0.5, 1.0, 0.8, 0.6, 0.4, 0.2]) {
            assert!((found - expected).abs() < 1e-12, "{line:?}");
        }
        assert_eq!(rates(Shape::Step { epochs: 4, factor: 0.1 }), [0.5, 1.0, 1.0, 1.0, 0.1, 0.1]);
    }
}
