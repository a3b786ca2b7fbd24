// Convolutions of tensors by Winograd's method, with gradients (see winograd.h).
#pragma once

#include <ATen/core/Tensor.h>

namespace lcsl {

/// x (N, C, H, W) convolved with weight (C', C, 3, 3), stride 1, padding 1; both float32 on the CPU, C and
/// C' multiples of 16. The result is channels-last. Gradients by both are recorded.
at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight);

/// A weight as `folded_convolution` wants it, once and for all.
at::Tensor folded_kernel(const at::Tensor& weight);

/// convolution(x) + bias + residual, then ReLU: one pass, no gradient. `kernel` comes from
/// `folded_kernel`, `bias` is (C'), `residual` like the result or undefined.
at::Tensor folded_convolution(const at::Tensor& x, const at::Tensor& kernel, const at::Tensor& bias,
                              const at::Tensor& residual, bool relu);

}  // namespace lcsl
