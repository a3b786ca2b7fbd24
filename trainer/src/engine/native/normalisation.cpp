// See normalisation.h.
//
// With m images and pixels in all, x' = (x - mean) / sqrt(var + eps) and y = w x' + b, the gradient by x is
// w / sqrt(var + eps) * (dy - sum(dy) / m - x' sum(dy x') / m), and all sums go over all ranks (Ioffe and
// Szegedy, ICML 2015, section 3). Those by w and b are this rank's own: they are summed over ranks later,
// with all others.

#include "normalisation.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace lcsl {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Sum of (N, C, H, W) over images and pixels, in double precision whatever x is in.
at::Tensor per_channel(const at::Tensor& x) {
  return x.sum(at::IntArrayRef({0, 2, 3}), false, at::kDouble);
}

// (C) as a factor of tensors like x.
at::Tensor across(const at::Tensor& values, const at::Tensor& x) {
  return values.to(x.scalar_type()).view({1, -1, 1, 1});
}

class BatchNorm : public torch::autograd::Function<BatchNorm> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x,
                               const at::Tensor& weight, const at::Tensor& bias, double epsilon,
                               const c10::intrusive_ptr<Ranks>& ranks) {
    const int64_t channels = x.size(1);
    // The sum of squares is made from differences to this rank's own mean, and in double precision: in x's own a
    // difference of large squares would lose digits.
    const int64_t pixels = x.numel() / std::max<int64_t>(channels, 1);
    const at::Tensor sums = per_channel(x);
    const at::Tensor shift = (sums / std::max<int64_t>(pixels, 1)).to(x.scalar_type());
    const at::Tensor around = x - across(shift, x);
    const at::Tensor exact = shift.to(at::kDouble);
    const at::Tensor squares = per_channel(around * around) + exact * (2 * sums - pixels * exact);
    const at::Tensor here = at::full({1}, pixels, sums.options());
    const at::Tensor totals = ranks->sum(at::cat({sums, squares, here}));
    const at::Tensor count = totals.narrow(0, 2 * channels, 1);
    const at::Tensor mean = totals.narrow(0, 0, channels) / count;
    const at::Tensor variance =
        (totals.narrow(0, channels, channels) / count - mean * mean).clamp_min(0);
    const at::Tensor centred = x - across(mean, x);
    const at::Tensor inverse = (variance + epsilon).rsqrt();
    const at::Tensor normalised = centred * across(inverse, x);
    context->save_for_backward({normalised, weight, inverse, count});
    context->saved_data["ranks"] = c10::IValue::make_capsule(ranks);
    const at::Tensor unbiased = variance * count / (count - 1).clamp_min(1);
    context->mark_non_differentiable({mean, unbiased});
    return {at::addcmul(across(bias, x), normalised, across(weight, x)), mean, unbiased};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& normalised = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor& inverse = saved[2];
    const at::Tensor& count = saved[3];
    const auto ranks =
        c10::static_intrusive_pointer_cast<Ranks>(context->saved_data["ranks"].toCapsule());
    const at::Tensor& dy = gradients[0];
    const at::Tensor by_bias = per_channel(dy), by_weight = per_channel(dy * normalised);
    const at::Tensor means = ranks->sum(at::cat({by_bias, by_weight})) / count;
    const int64_t channels = weight.size(0);
    const at::Tensor mean = across(means.narrow(0, 0, channels), dy);
    const at::Tensor slope = across(means.narrow(0, channels, channels), dy);
    const at::Tensor by_x = (dy - mean - normalised * slope) * across(weight * inverse, dy);
    return {by_x, by_weight.to(weight.scalar_type()), by_bias.to(weight.scalar_type()),
            at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Ranks::sum(const at::Tensor& values) const {
  if (values.is_cuda()) {
    // New memory, so that what is saved of `values` keeps this rank's own numbers.
    const at::Tensor there = values.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true).contiguous();
    sum_(context_, there.mutable_data_ptr<double>(), static_cast<size_t>(there.numel()), true);
    return there;
  }
  at::Tensor here = values.to(at::kCPU, at::kDouble, /*non_blocking=*/false, /*copy=*/true).contiguous();
  sum_(context_, here.mutable_data_ptr<double>(), static_cast<size_t>(here.numel()), false);
  return here.to(values.device());
}

Normalised batch_norm_across(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             double epsilon, const c10::intrusive_ptr<Ranks>& ranks) {
  const variable_list made = BatchNorm::apply(x, weight, bias, epsilon, ranks);
  return {made[0], made[1], made[2]};
}

}  // namespace lcsl
