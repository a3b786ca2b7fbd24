//! 3×3 convolutions by Winograd's method: cargo feature `winograd`, on by default.
//!
//! **Why it is there.** In float32 on a CPU, 3×3 convolutions at stride 1 are five sixths of a step of
//! the small networks. oneDNN, which libtorch calls, computes them directly, and already runs at the
//! limit of processors that do one 512-bit multiplication a cycle; it has no Winograd kernels for
//! float32 any more. Winograd's F(4×4, 3×3) needs a quarter of the multiplications (Lavin and Gray,
//! "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.3).
//!
//! **What it buys.** The demo trains at 771 images a second instead of 576, 4 min 37 s instead of
//! 6 min 16 s (BENCHMARKS.md, "The demo").
//!
//! **How it is proved equal.** `tests/engine/winograd.rs` holds results and both gradients against
//! float64 convolutions of libtorch, for sizes that fill tiles and sizes that do not, and the golden
//! case `wide` sends whole steps through it (`tests/golden_step`). Rounding differs from a direct
//! convolution in the last three to four bits, because the transforms add numbers of mixed sizes. The order of
//! additions depends on the number of threads alone, so a run repeats itself to the bit.
//!
//! **What happens without.** Every convolution is libtorch's own: in a build without the feature, on
//! processors without AVX-512, on GPUs, in float64, and for every shape that [`suits`] refuses. Training is
//! slower, and its numbers are as right; they are other bits, so runs are compared between
//! builds of one kind.
//! The arithmetic is compiled for any processor too, slower than libtorch's, so that its tests run everywhere.
//!
//! `winograd.cpp` has the arithmetic on plain memory, `convolution.cpp` makes tensors and gradients of it.

#![allow(unsafe_code)] // the kernels are C++

use std::ffi::c_char;
use std::ptr;

use tch::{Device, Kind, Tensor};

use super::ffi::{In, Out, checked_message, pointer};

unsafe extern "C" {
    fn lcsl_winograd_pays() -> bool;
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

/// Whether [`convolution`] and [`FoldedKernel`] are faster than libtorch for weights of this shape
/// (C′, C, kernel, kernel), type and place: they [fit](fits), and the processor has AVX-512.
pub fn suits(shape: &[i64], stride: i64, kind: Kind, device: Device) -> bool {
    // SAFETY: no argument; reads a table of the processor's features.
    fits(shape, stride, kind, device) && unsafe { lcsl_winograd_pays() }
}

/// Whether [`convolution`] and [`FoldedKernel`] take such a weight at all.
pub fn fits(shape: &[i64], stride: i64, kind: Kind, device: Device) -> bool {
    let [to, from, 3, 3] = *shape else { return false };
    let channels = to % 16 == 0 && from % 16 == 0;
    channels && stride == 1 && kind == Kind::Float && device == Device::Cpu
}

/// (N, C, H, W) convolved with a weight that [`fits`]: stride 1, padding 1, gradients recorded.
pub fn convolution(x: &Tensor, weight: &Tensor) -> Tensor {
    checked_weight(weight);
    checked(x, weight.size()[1]);
    // SAFETY: `pointer` gives valid tensors that live as long as this call, whose shapes were checked;
    // `result` is written before null is returned.
    returned_tensor(|result| unsafe { lcsl_convolution(pointer(x), pointer(weight), result) })
}

/// A weight that never changes again, transformed once.
#[derive(Debug)]
pub struct FoldedKernel {
    kernel: Tensor,
    bias: Tensor,
    from: i64,
}

impl FoldedKernel {
    /// For a weight that [`fits`], and what is added to each of its C′ output channels.
    pub fn new(weight: &Tensor, bias: &Tensor) -> Self {
        checked_weight(weight);
        let from = weight.size()[1];
        assert_eq!(bias.size(), [weight.size()[0]], "a bias for each output channel");
        assert_eq!(bias.kind(), Kind::Float, "as the weight");
        // SAFETY: as in `convolution`.
        let kernel =
            returned_tensor(|result| unsafe { lcsl_folded_kernel(pointer(weight), result) });
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
        returned_tensor(|result| unsafe {
            lcsl_folded_convolution(x, kernel, bias, residual, rectify, result)
        })
    }
}

/// The kernels know one size of window, vectors of 16 channels, and float32.
fn checked_weight(weight: &Tensor) {
    let size = weight.size();
    let fits = fits(&size, 1, weight.kind(), weight.device());
    assert!(fits, "a weight for these kernels: {size:?}");
}

/// The kernels read raw memory, so what they are given is looked at here.
fn checked(x: &Tensor, channels: i64) {
    let size = x.size();
    assert!(size.len() == 4 && size[1] == channels, "an image of {channels} channels: {size:?}");
    assert!(x.kind() == Kind::Float && x.device() == Device::Cpu, "float32 on the CPU");
}

/// The tensor that `call` makes.
///
/// # Panics
/// When the C++ side threw: shapes and types were checked before, so it is our bug or a lack of
/// memory, as it is when tch panics.
fn returned_tensor(call: impl FnOnce(Out) -> *mut c_char) -> Tensor {
    let mut result = ptr::null_mut();
    checked_message(call(&raw mut result));
    // SAFETY: without a message the callee has stored a tensor made by `new`, which is ours now; a
    // `Tensor` deletes it.
    unsafe { Tensor::from_ptr(result.cast()) }
}
