// See convolution.h.

#include "convolution.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"
#include "winograd.h"

namespace lcsl {
namespace {

using winograd::Shape;

bool has_avx512() {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512f") != 0;
#else
  return false;
#endif
}

const winograd::Kernels& kernels() {
#ifdef __x86_64__
  if (has_avx512()) return winograd::kAvx512;
#endif
  return winograd::kPlain;
}

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

Shape shape_of(const at::Tensor& x, int64_t to) {
  return {x.size(0), x.size(2), x.size(3), x.size(1), to};
}

// An uninitialised list of floats, aligned to a cache line.
at::Tensor floats(int64_t count) { return at::empty({count}, at::kFloat); }

// The convolution of channels-last `x` with a transformed kernel.
at::Tensor run(const Shape& shape, const at::Tensor& x, const at::Tensor& kernel,
               const winograd::Epilogue& epilogue) {
  const at::Tensor y = at::empty({shape.images, shape.to, shape.height, shape.width}, x.options(),
                                 kChannelsLast);
  const int64_t block = kernels().block_of_tiles(shape), tiles = shape.tiles();
  const float* const input = x.const_data_ptr<float>();
  const float* const transformed = kernel.const_data_ptr<float>();
  float* const output = y.mutable_data_ptr<float>();
  at::parallel_for(0, (tiles + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = floats(kernels().scratch_floats(shape));
    kernels().forward(shape, input, transformed, epilogue, output, begin * block,
                      std::min(end * block, tiles), scratch.mutable_data_ptr<float>());
  });
  return y;
}

at::Tensor gradient_by_input(const Shape& shape, const at::Tensor& y_gradient,
                             const at::Tensor& weight) {
  const Shape reversed{shape.images, shape.height, shape.width, shape.to, shape.from};
  const at::Tensor kernel = floats(kernels().kernel_floats(reversed));
  kernels().transform_weights_reversed(reversed, weight.const_data_ptr<float>(),
                                       kernel.mutable_data_ptr<float>());
  return run(reversed, y_gradient, kernel, {nullptr, nullptr, false});
}

// Every thread sums over a range of tiles that depends on the number of threads alone, and the ranges are
// added in order: the same threads give the same bits.
at::Tensor gradient_by_weight(const Shape& shape, const at::Tensor& x, const at::Tensor& y_gradient,
                              const at::Tensor& weight) {
  const int64_t block = kernels().block_of_tiles(shape), tiles = shape.tiles();
  const int64_t blocks = (tiles + block - 1) / block;
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), blocks));
  const at::Tensor sums = at::zeros({parts, kernels().kernel_floats(shape)}, at::kFloat);
  const float* const input = x.const_data_ptr<float>();
  const float* const gradient = y_gradient.const_data_ptr<float>();
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = floats(kernels().scratch_floats(shape));
    for (int64_t part = begin; part < end; part++) {
      const int64_t first = blocks * part / parts, last = blocks * (part + 1) / parts;
      kernels().weight_gradient(shape, input, gradient, first * block, std::min(last * block, tiles),
                                sums[part].mutable_data_ptr<float>(),
                                scratch.mutable_data_ptr<float>());
    }
  });
  for (int64_t part = 1; part < parts; part++) sums[0].add_(sums[part]);
  const at::Tensor result = at::empty_like(weight, at::MemoryFormat::Contiguous);
  kernels().finish_weight_gradient(shape, sums.const_data_ptr<float>(),
                                   result.mutable_data_ptr<float>());
  return result;
}

class Convolution : public torch::autograd::Function<Convolution> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight) {
    const at::Tensor input = x.contiguous(kChannelsLast), plain = weight.contiguous();
    const Shape shape = shape_of(input, weight.size(0));
    const at::Tensor kernel = floats(kernels().kernel_floats(shape));
    kernels().transform_weights(shape, plain.const_data_ptr<float>(),
                                kernel.mutable_data_ptr<float>());
    context->save_for_backward({input, plain});
    return run(shape, input, kernel, {nullptr, nullptr, false});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor y_gradient = gradients[0].contiguous(kChannelsLast);
    const Shape shape = shape_of(x, weight.size(0));
    at::Tensor by_input, by_weight;
    if (context->needs_input_grad(0)) by_input = gradient_by_input(shape, y_gradient, weight);
    if (context->needs_input_grad(1)) by_weight = gradient_by_weight(shape, x, y_gradient, weight);
    return {by_input, by_weight};
  }
};

}  // namespace

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight) {
  return Convolution::apply(x, weight);
}

at::Tensor folded_kernel(const at::Tensor& weight) {
  const at::Tensor plain = weight.contiguous();
  const Shape shape{1, 1, 1, weight.size(1), weight.size(0)};
  const at::Tensor kernel = floats(kernels().kernel_floats(shape));
  kernels().transform_weights(shape, plain.const_data_ptr<float>(),
                              kernel.mutable_data_ptr<float>());
  return kernel;
}

at::Tensor folded_convolution(const at::Tensor& x, const at::Tensor& kernel, const at::Tensor& bias,
                              const at::Tensor& residual, bool relu) {
  const at::Tensor input = x.contiguous(kChannelsLast);
  at::Tensor added;
  if (residual.defined()) added = residual.contiguous(kChannelsLast);
  const float* const residual_data = added.defined() ? added.const_data_ptr<float>() : nullptr;
  const Shape shape = shape_of(input, bias.size(0));
  return run(shape, input, kernel, {bias.const_data_ptr<float>(), residual_data, relu});
}

}  // namespace lcsl

// What Rust calls, in the form that shim.cpp describes.

using lcsl::guarded;

extern "C" {

bool lcsl_winograd_pays() { return lcsl::has_avx512(); }

char* lcsl_convolution(const at::Tensor* x, const at::Tensor* weight, at::Tensor** result) {
  return guarded([&] { *result = new at::Tensor(lcsl::convolution(*x, *weight)); });
}

char* lcsl_folded_kernel(const at::Tensor* weight, at::Tensor** result) {
  return guarded([&] { *result = new at::Tensor(lcsl::folded_kernel(*weight)); });
}

char* lcsl_folded_convolution(const at::Tensor* x, const at::Tensor* kernel, const at::Tensor* bias,
                              const at::Tensor* residual, bool relu, at::Tensor** result) {
  return guarded([&] {
    const at::Tensor added = residual == nullptr ? at::Tensor() : *residual;
    *result = new at::Tensor(lcsl::folded_convolution(*x, *kernel, *bias, added, relu));
  });
}

}  // extern "C"
