// See sgd.h.

#include "sgd.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

namespace lcsl {
namespace {

// Elements below which a second thread costs more than it saves.
constexpr int64_t kGrain = 32768;

template <typename Number>
void step(Number* w, Number* v, const Number* g, int64_t count, Number momentum,
          Number weight_decay, Number learning_rate, bool nesterov) {
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const Number direction = g[i] + weight_decay * w[i];
      v[i] = momentum * v[i] + direction;
      w[i] -= learning_rate * (nesterov ? direction + momentum * v[i] : v[i]);
    }
  });
}

}  // namespace

void sgd_step(const at::Tensor& parameters, const at::Tensor& velocity, const at::Tensor& gradient,
              double momentum, double weight_decay, double learning_rate, bool nesterov) {
  AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "sgd_step", [&] {
    step<scalar_t>(parameters.mutable_data_ptr<scalar_t>(), velocity.mutable_data_ptr<scalar_t>(),
                   gradient.const_data_ptr<scalar_t>(), parameters.numel(),
                   static_cast<scalar_t>(momentum), static_cast<scalar_t>(weight_decay),
                   static_cast<scalar_t>(learning_rate), nesterov);
  });
}

}  // namespace lcsl
