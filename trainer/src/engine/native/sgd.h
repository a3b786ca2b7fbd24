// The optimiser's loop over flat tensors.
#pragma once

#include <ATen/core/Tensor.h>

namespace lcsl {

/// velocity = momentum * velocity + (gradient + weight_decay * parameters), then parameters -=
/// learning_rate * velocity, or with nesterov learning_rate * (gradient + weight_decay * old parameters + momentum *
/// velocity): one pass over memory and no temporaries. Flat tensors of one kind, float32 or
/// float64, on the CPU.
void sgd_step(const at::Tensor& parameters, const at::Tensor& velocity, const at::Tensor& gradient,
              double momentum, double weight_decay, double learning_rate, bool nesterov);

}  // namespace lcsl
