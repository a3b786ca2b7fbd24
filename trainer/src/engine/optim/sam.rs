//! Where sharpness-aware minimisation looks for its gradient (SAM: Foret et al., "Sharpness-aware minimization for
//! efficiently improving generalization", ICLR 2021).

use std::ops::Range;

use tch::Tensor;

use crate::engine::network::flat::Flat;

/// Added to the norm that is divided by, as in the programs of others.
const TINY: f64 = 1e-12;

/// Moves the parameters of `slots` up the gradient by ε = ρ·g/‖g‖ (eq. 2), and returns what they were. The gradient is
/// laid out as all parameters and summed over all ranks, so that all of them move alike.
pub fn climb(parameters: &mut Flat, slots: &Range<usize>, gradient: &Tensor, rho: f64) -> Tensor {
    let _guard = tch::no_grad_guard();
    let mut moved = parameters.part_of(&parameters.buffer, slots);
    let before = moved.copy();
    let gradient = parameters.part_of(gradient, slots);
    let factor = (gradient.norm() + TINY).reciprocal() * rho;
    let _ = moved.g_add_(&(gradient * factor));
    before
}

/// Puts the parameters of `slots` back to what [`climb`] has returned, to the bit.
pub fn descend(parameters: &mut Flat, slots: &Range<usize>, before: &Tensor) {
    let _guard = tch::no_grad_guard();
    parameters.part_of(&parameters.buffer, slots).copy_(before);
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::network::flat::Slot;

    #[test]
    fn what_trains_climbs_by_rho_and_comes_back_to_the_bit() {
        let slot = |name: &str| Slot { name: name.to_owned(), shape: vec![2] };
        let mut parameters =
            Flat::zeros(vec![slot("a"), slot("b")], Kind::Float, Device::Cpu, false);
        let start = Tensor::from_slice(&[0.1_f32, 0.2, 0.3, 0.4]);
        parameters.copy_from(&start);
        let gradient = Tensor::from_slice(&[100.0_f32, 100.0, 3.0, -4.0]);
        let before = climb(&mut parameters, &(1..2), &gradient, 0.5);
        let found = Vec::<f32>::try_from(&parameters.buffer).unwrap();
        let expected = [0.1, 0.2, 0.6, 0.0];
        assert!(
            found.iter().zip(expected).all(|(a, b): (_, f32)| (a - b).abs() < 1e-6),
            "{found:?}"
        );
        descend(&mut parameters, &(1..2), &before);
        assert_eq!(parameters.buffer, start);
        let before = climb(&mut parameters, &(0..2), &gradient.zeros_like(), 0.5);
        assert_eq!(
            (&parameters.buffer, &before),
            (&start, &start),
            "a gradient of 0 leads nowhere"
        );
    }
}
