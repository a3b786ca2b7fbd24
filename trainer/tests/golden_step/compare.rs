//! Distances, with a sentence for each that is too large.

use tch::{Device, Kind, Tensor};

/// Largest absolute difference; infinite where shapes differ or anything is not a number.
pub(crate) fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    if found.size() != expected.size() {
        return f64::INFINITY;
    }
    if found.numel() == 0 {
        return 0.0;
    }
    let difference = (numbers(found) - numbers(expected)).abs();
    let largest = difference.max().double_value(&[]);
    if largest.is_nan() { f64::INFINITY } else { largest }
}

/// ‖found − expected‖ / ‖expected‖, or ‖found‖ where nothing is expected.
pub(crate) fn relative_distance(found: &Tensor, expected: &Tensor) -> f64 {
    if found.size() != expected.size() {
        return f64::INFINITY;
    }
    let norm = |tensor: &Tensor| numbers(tensor).norm().double_value(&[]);
    let difference = norm(&(numbers(found) - numbers(expected)));
    let expected = norm(expected);
    let relative = if expected > 0.0 { difference / expected } else { difference };
    if relative.is_nan() { f64::INFINITY } else { relative }
}

/// Values where this process can read them.
fn numbers(tensor: &Tensor) -> Tensor {
    tensor.to_device(Device::Cpu).to_kind(Kind::Double)
}

/// Fails when `distance` is above `limit`.
pub(crate) fn within(what: &str, distance: f64, limit: f64) -> Result<(), String> {
    if distance <= limit {
        return Ok(());
    }
    Err(format!("{what} is off by {distance:e}, more than {limit:e}"))
}

/// Fails when the values differ at all.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}
