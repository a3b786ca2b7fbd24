//! The learning rate of an epoch.

use std::f64::consts::PI;

/// Linear warm-up over `warmup` epochs, then half a cosine that never reaches zero, as the
/// published code has it. `epoch` counts from 0.
pub fn learning_rate(base: f64, epoch: u64, epochs: u64, warmup: u64) -> f64 {
    if epoch < warmup {
        return base / warmup as f64 * (epoch + 1) as f64;
    }
    let done = (epoch - warmup + 1) as f64;
    let span = (epochs.saturating_sub(warmup) + 1) as f64;
    base * 0.5 * (1.0 + (PI * done / span).cos())
}

#[cfg(test)]
mod tests {
    use super::learning_rate;

    #[test]
    fn the_rate_rises_falls_and_never_reaches_zero() {
        let rates: Vec<f64> = (0..12).map(|epoch| learning_rate(0.05, epoch, 12, 2)).collect();
        assert!(rates[0] < rates[1] && (rates[1] - 0.05).abs() < 1e-15);
        assert!(rates[2..].windows(2).all(|pair| pair[0] > pair[1]));
        assert!(rates[11] > 0.0);
    }
}
