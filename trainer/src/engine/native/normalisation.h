// Batch normalisation with the statistics of all ranks' images.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

namespace lcsl {

/// The ranks that normalise together. Keeps what `context` points to alive: a graph may hold on to it.
class Ranks : public torch::CustomClassHolder {
 public:
  /// Adds `count` numbers over all ranks, in place: memory of the host, or of the GPU in its current stream.
  using Sum = void (*)(void* context, double* values, size_t count, bool on_gpu);
  using Release = void (*)(void* context);

  Ranks(void* context, Sum sum, Release release)
      : context_(context), sum_(sum), release_(release) {}
  ~Ranks() override { release_(context_); }

  /// The sum of float64 `values` over all ranks, where they lie.
  at::Tensor sum(const at::Tensor& values) const;

 private:
  void* context_;
  Sum sum_;
  Release release_;
};

struct Normalised {
  at::Tensor result;    // like x
  at::Tensor mean;      // (C), float64, of all images
  at::Tensor variance;  // (C), float64, unbiased
};

/// x (N, C, H, W), normalised per channel by the mean and variance over the images of all ranks, then scaled
/// and shifted; N may be 0. Records gradients. Every rank calls it, and runs the backward pass: one sum
/// over the ranks here, and one there.
Normalised batch_norm_across(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             double epsilon, const c10::intrusive_ptr<Ranks>& ranks);

}  // namespace lcsl
