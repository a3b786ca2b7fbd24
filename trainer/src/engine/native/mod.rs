//! What tch lacks, in C++ beside libtorch: convolutions by Winograd's method; in
//! [`gradients`], hooks of the backward pass and the optimiser's loop; in [`normalisation`], batch
//! normalisation over all ranks.
//!
//! The C++ side takes and gives pointers to `at::Tensor`, which is what a [`Tensor`] holds, and turns
//! exceptions into messages. This file and the two beside it are the only ones that call it.

#![allow(unsafe_code)] // the shim is C++

pub mod gradients;
pub mod normalisation;

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use tch::{Device, Kind, Tensor};

/// A pointer to an `at::Tensor` that the callee only reads.
type In = *const c_void;
/// Where the callee leaves a new `at::Tensor` for the caller.
type Out = *mut *mut c_void;

unsafe extern "C" {
    fn lcsl_release_message(message: *mut c_char);
    fn lcsl_keep_freed_memory() -> bool;
    fn lcsl_winograd_supported() -> bool;
    fn lcsl_convolution(x: In, weight: In, result: Out) -> *mut c_char;
    fn lcsl_folded_kernel(weight: In, result: Out) -> *mut c_char;
    fn lcsl_folded_convolution(
        x: In,
        kernel: In,
        bias: In,
        residual: In,
        relu: bool,
        result: Out,
    ) -> *mut c_char;
}

/// Lets the allocator keep memory that was freed instead of giving it back to the system: a step
/// frees and takes the same hundred megabytes again, and each page given back costs a page fault
/// when it returns. Whether the allocator agreed.
pub fn keep_freed_memory() -> bool {
    // SAFETY: no argument; mallopt takes its own lock.
    unsafe { lcsl_keep_freed_memory() }
}

/// Whether [`convolution`] and [`FoldedKernel`] can be used for weights of this shape (C′, C, kernel,
/// kernel), type and place.
pub fn suits(shape: &[i64], stride: i64, kind: Kind, device: Device) -> bool {
    let [to, from, 3, 3] = *shape else { return false };
    // SAFETY: no argument; reads a table of the processor's features.
    let supported = unsafe { lcsl_winograd_supported() };
    let channels = to % 16 == 0 && from % 16 == 0;
    supported && channels && stride == 1 && kind == Kind::Float && device == Device::Cpu
}

/// (N, C, H, W) convolved with a weight that [`suits`]: stride 1, padding 1, gradients recorded.
pub fn convolution(x: &Tensor, weight: &Tensor) -> Tensor {
    checked(x, weight.size()[1]);
    // SAFETY: `pointer` gives valid tensors that live as long as this call, whose shapes were checked;
    // `result` is written before null is returned.
    take(|result| unsafe { lcsl_convolution(pointer(x), pointer(weight), result) })
}

/// A weight that never changes again, transformed once.
#[derive(Debug)]
pub struct FoldedKernel {
    kernel: Tensor,
    bias: Tensor,
    from: i64,
}

impl FoldedKernel {
    /// For a weight that [`suits`], and what is added to each of its C′ output channels.
    pub fn new(weight: &Tensor, bias: &Tensor) -> Self {
        let from = weight.size()[1];
        assert_eq!(bias.size(), [weight.size()[0]], "a bias for each output channel");
        assert_eq!(bias.kind(), Kind::Float, "as the weight");
        // SAFETY: as in `convolution`.
        let kernel = take(|result| unsafe { lcsl_folded_kernel(pointer(weight), result) });
        Self { kernel, bias: bias.contiguous(), from }
    }

    /// convolution(x) + bias + residual, then `ReLU` if `rectify`, in one pass over the result;
    /// `residual` has the result's shape. No gradient is recorded.
    pub fn apply(&self, x: &Tensor, residual: Option<&Tensor>, rectify: bool) -> Tensor {
        checked(x, self.from);
        if let Some(residual) = residual {
            let [images, _, height, width] = x.size()[..] else { unreachable!("checked") };
            let expected = [images, self.bias.size()[0], height, width];
            assert_eq!(residual.size(), expected, "the residual is added to the result");
            assert_eq!(residual.kind(), Kind::Float, "as the result");
        }
        let residual = residual.map_or(ptr::null(), pointer);
        let (x, kernel, bias) = (pointer(x), pointer(&self.kernel), pointer(&self.bias));
        // SAFETY: as in `convolution`; a null residual stands for none.
        take(|result| unsafe {
            lcsl_folded_convolution(x, kernel, bias, residual, rectify, result)
        })
    }
}

/// The kernels read raw memory, so what they are given is looked at here.
fn checked(x: &Tensor, channels: i64) {
    let size = x.size();
    assert!(size.len() == 4 && size[1] == channels, "an image of {channels} channels: {size:?}");
    assert!(x.kind() == Kind::Float && x.device() == Device::Cpu, "float32 on the CPU");
}

fn pointer(tensor: &Tensor) -> In {
    tensor.as_ptr().cast()
}

/// The tensor that `call` makes.
///
/// # Panics
/// When the C++ side threw: shapes and types were checked before, so it is our bug or a lack of
/// memory, as it is when tch panics.
fn take(call: impl FnOnce(Out) -> *mut c_char) -> Tensor {
    let mut result = ptr::null_mut();
    checked_message(call(&raw mut result));
    // SAFETY: without a message the callee has stored a tensor made by `new`, which is ours now; a
    // `Tensor` deletes it.
    unsafe { Tensor::from_ptr(result.cast()) }
}

/// Ends with a panic if the callee left a message.
fn checked_message(message: *mut c_char) {
    if message.is_null() {
        return;
    }
    // SAFETY: a message is a C string made by `strdup`, released once.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        lcsl_release_message(message);
        text
    };
    panic!("the shim failed: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values without a pattern, between −1 and 1, the same in every run.
    fn values(size: &[i64], seed: i64) -> Tensor {
        let count: i64 = size.iter().product();
        let index = Tensor::arange(count, (Kind::Double, Device::Cpu)) + seed * 7919;
        ((index * 12.9898).sin() * 43758.547).frac().view(size).to_kind(Kind::Float)
    }

    fn channels_last(images: i64, size: [i64; 2], channels: i64, seed: i64) -> Tensor {
        values(&[images, size[0], size[1], channels], seed).permute([0, 3, 1, 2])
    }

    fn direct(x: &Tensor, weight: &Tensor) -> Tensor {
        x.conv2d(weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1)
    }

    fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
        assert_eq!(found.size(), expected.size(), "{what}");
        let off = (found.to_kind(Kind::Double) - expected).abs().max().double_value(&[]);
        let scale = expected.abs().max().double_value(&[]);
        assert!(off <= 1e-4 * scale, "{what} is off by {off} where values reach {scale}");
    }

    /// Sizes that fill tiles and sizes that do not, one image and several blocks of tiles, equal and
    /// unequal channels, an odd number of vectors.
    const CASES: [(i64, [i64; 2], i64, i64); 6] = [
        (1, [4, 4], 16, 16),
        (3, [7, 9], 16, 32),
        (5, [14, 14], 32, 32),
        (2, [1, 5], 48, 16),
        (9, [28, 28], 16, 16),
        (2, [8, 8], 64, 80),
    ];

    #[test]
    fn a_convolution_and_its_gradients_agree_with_float64() {
        for (images, size, from, to) in CASES {
            let what = format!("{images} images of {size:?}, {from} to {to} channels");
            assert!(
                suits(&[to, from, 3, 3], 1, Kind::Float, Device::Cpu) || !has_avx512(),
                "{what}"
            );
            if !has_avx512() {
                return;
            }
            let x = channels_last(images, size, from, 1).set_requires_grad(true);
            let weight = values(&[to, from, 3, 3], 2).set_requires_grad(true);
            let toward = channels_last(images, size, to, 3);
            let y = convolution(&x, &weight);
            let loss = (&y * &toward).sum(Kind::Double);
            let found = Tensor::run_backward(&[loss], &[&x, &weight], false, false);

            let [x, weight] =
                [&x, &weight].map(|it| it.detach().to_kind(Kind::Double).set_requires_grad(true));
            let expected_y = direct(&x, &weight);
            let loss = (&expected_y * toward.to_kind(Kind::Double)).sum(Kind::Double);
            let expected = Tensor::run_backward(&[loss], &[&x, &weight], false, false);
            assert_close(&format!("result, {what}"), &y, &expected_y);
            assert_close(&format!("gradient by the image, {what}"), &found[0], &expected[0]);
            assert_close(&format!("gradient by the weight, {what}"), &found[1], &expected[1]);
        }
    }

    #[test]
    fn a_folded_convolution_adds_and_rectifies() {
        if !has_avx512() {
            return;
        }
        for (images, size, from, to) in CASES {
            let x = channels_last(images, size, from, 1);
            let (weight, bias) = (values(&[to, from, 3, 3], 2), values(&[to], 4));
            let residual = channels_last(images, size, to, 5);
            let folded = FoldedKernel::new(&weight, &bias);
            let sum = direct(&x.to_kind(Kind::Double), &weight.to_kind(Kind::Double))
                + bias.to_kind(Kind::Double).view([1, to, 1, 1]);
            assert_close("the sum", &folded.apply(&x, None, false), &sum);
            assert_close("without residual", &folded.apply(&x, None, true), &sum.relu());
            let expected = (sum + residual.to_kind(Kind::Double)).relu();
            assert_close("with residual", &folded.apply(&x, Some(&residual), true), &expected);
        }
    }

    #[test]
    fn images_in_the_usual_layout_are_taken_too() {
        if !has_avx512() {
            return;
        }
        let (x, weight) = (values(&[2, 16, 6, 6], 1), values(&[16, 16, 3, 3], 2));
        let expected = direct(&x.to_kind(Kind::Double), &weight.to_kind(Kind::Double));
        assert_close("result", &convolution(&x, &weight), &expected);
    }

    #[test]
    fn other_shapes_and_types_are_left_to_libtorch() {
        let cpu = Device::Cpu;
        assert!(!suits(&[16, 3, 3, 3], 1, Kind::Float, cpu), "three channels");
        assert!(!suits(&[16, 16, 1, 1], 1, Kind::Float, cpu), "another kernel");
        assert!(!suits(&[16, 16, 3, 3], 2, Kind::Float, cpu), "a stride");
        assert!(!suits(&[16, 16, 3, 3], 1, Kind::Double, cpu), "double precision");
    }

    /// Processors without these instructions have nothing to test here: libtorch's own convolutions
    /// are used.
    fn has_avx512() -> bool {
        #[cfg(target_arch = "x86_64")]
        return std::arch::is_x86_feature_detected!("avx512f");
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }
}
