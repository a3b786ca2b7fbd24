//! The optimiser's loops over flat tensors: our own on the CPU, and libtorch's, in which the device decides whether
//! they do anything.

#![allow(unsafe_code)] // the shim is C++

use std::ffi::c_char;

use tch::{Device, Kind, Tensor};

use super::ffi::{In, checked_message, pointer};

unsafe extern "C" {
    fn lcsl_sgd_step(
        parameters: In,
        velocity: In,
        gradient: In,
        momentum: f64,
        weight_decay: f64,
        learning_rate: f64,
        nesterov: bool,
    ) -> *mut c_char;
    fn lcsl_fused_sgd(
        parameters: In,
        velocity: In,
        gradient: In,
        momentum: f64,
        weight_decay: f64,
        learning_rate: f64,
        nesterov: bool,
        skip: In,
    ) -> *mut c_char;
    fn lcsl_fused_adamw(
        parameters: In,
        mean: In,
        square: In,
        gradient: In,
        steps: In,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        skip: In,
    ) -> *mut c_char;
}

/// v ← momentum·v + (g + `weight_decay`·w), w ← w − `learning_rate`·v, or with `nesterov` w ← w − `learning_rate`·(g +
/// `weight_decay`·w + momentum·v), in one pass over three flat tensors of one kind and length on the CPU.
pub fn sgd_step(
    parameters: &mut Tensor,
    velocity: &mut Tensor,
    gradient: &Tensor,
    [momentum, weight_decay, learning_rate]: [f64; 3],
    nesterov: bool,
) {
    for tensor in [&*parameters, &*velocity, gradient] {
        assert!(tensor.is_contiguous() && tensor.device() == Device::Cpu, "flat memory on the CPU");
        assert_eq!((tensor.size(), tensor.kind()), (parameters.size(), parameters.kind()));
    }
    let (parameters, velocity, gradient) =
        (pointer(parameters), pointer(velocity), pointer(gradient));
    // SAFETY: valid tensors, whose kinds, sizes and layouts were checked; two are borrowed mutably.
    checked_message(unsafe {
        lcsl_sgd_step(
            parameters,
            velocity,
            gradient,
            momentum,
            weight_decay,
            learning_rate,
            nesterov,
        )
    });
}

/// What [`sgd_step`] does, on any device and in libtorch's own kernel, which leaves everything as it is where `skip`
/// (one float32) is 1.
pub fn fused_sgd(
    parameters: &mut Tensor,
    velocity: &mut Tensor,
    gradient: &Tensor,
    [momentum, weight_decay, learning_rate]: [f64; 3],
    nesterov: bool,
    skip: &Tensor,
) {
    check_alike(parameters, &[velocity, gradient], skip);
    // SAFETY: valid tensors, whose kinds, sizes and layouts were checked; two are borrowed mutably.
    checked_message(unsafe {
        lcsl_fused_sgd(
            pointer(parameters),
            pointer(velocity),
            pointer(gradient),
            momentum,
            weight_decay,
            learning_rate,
            nesterov,
            pointer(skip),
        )
    });
}

/// The moments of Adam, flat.
pub struct AdamMoments<'a> {
    /// Of the gradient.
    pub mean: &'a mut Tensor,
    /// Of its square.
    pub square: &'a mut Tensor,
}

/// Adam with decoupled weight decay in libtorch's own kernel, which leaves everything as it is where `skip` (one
/// float32) is 1. `steps` (one float32) is the number of this step, counted from 1.
pub fn fused_adamw(
    parameters: &mut Tensor,
    moments: AdamMoments<'_>,
    gradient: &Tensor,
    steps: &Tensor,
    [learning_rate, beta1, beta2, weight_decay, epsilon]: [f64; 5],
    skip: &Tensor,
) {
    let AdamMoments { mean, square } = moments;
    check_alike(parameters, &[mean, square, gradient], skip);
    assert_eq!((steps.numel(), steps.kind()), (1, Kind::Float), "the number of the step");
    // SAFETY: valid tensors, whose kinds, sizes and layouts were checked; three are borrowed mutably.
    checked_message(unsafe {
        lcsl_fused_adamw(
            pointer(parameters),
            pointer(mean),
            pointer(square),
            pointer(gradient),
            pointer(steps),
            learning_rate,
            beta1,
            beta2,
            weight_decay,
            epsilon,
            pointer(skip),
        )
    });
}

fn check_alike(parameters: &Tensor, others: &[&Tensor], skip: &Tensor) {
    for tensor in others.iter().copied().chain([parameters]) {
        assert!(tensor.is_contiguous() && tensor.device() == parameters.device(), "flat memory");
        assert_eq!((tensor.size(), tensor.kind()), (parameters.size(), parameters.kind()));
    }
    assert_eq!((skip.numel(), skip.kind()), (1, Kind::Float), "whether anything moves");
    assert_eq!(skip.device(), parameters.device(), "where the parameters are");
}
