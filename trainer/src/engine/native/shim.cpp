// What Rust calls, but for convolutions, which a build can do without (convolution.cpp). A tensor is
// passed as a pointer to an at::Tensor, as torch-sys does; results are new ones that the caller owns.
// No exception leaves this file: a function that can fail returns a message to be released with
// `lcsl_release_message`, or null when all went well.

#include <ATen/Context.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <malloc.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "guarded.h"
#include "hooks.h"
#include "normalisation.h"
#include "sgd.h"

using lcsl::guarded;

extern "C" {

void lcsl_release_message(char* message) { std::free(message); }

bool lcsl_keep_freed_memory() {
  // The largest values that glibc takes.
  return mallopt(M_MMAP_THRESHOLD, 32 << 20) != 0 && mallopt(M_TRIM_THRESHOLD, 1 << 30) != 0;
}

char* lcsl_peak_gpu_memory(int8_t gpu, uint64_t* bytes) {
  return guarded([&] {
    const auto stats = c10::getDeviceAllocator(c10::DeviceType::CUDA)->getDeviceStats(gpu);
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *bytes = static_cast<uint64_t>(stats.allocated_bytes[all].peak);
  });
}

void lcsl_set_arithmetic(bool tf32, bool deterministic) {
  auto& context = at::globalContext();
  context.setAllowTF32CuDNN(tf32);
  context.setAllowTF32CuBLAS(tf32);
  context.setDeterministicCuDNN(deterministic);
  context.setBenchmarkCuDNN(false);
  // Where libtorch has no deterministic kernel, it says so in the log: better than to end the run.
  context.setDeterministicAlgorithms(deterministic, /*warn_only=*/true);
  // New memory need not be filled: nobody reads it before it is written.
  context.setDeterministicFillUninitializedMemory(false);
}

uint8_t lcsl_arithmetic() {
  const auto& context = at::globalContext();
  const bool tf32 = context.allowTF32CuDNN() || context.allowTF32CuBLAS();
  const bool deterministic = context.deterministicCuDNN() && context.deterministicAlgorithms();
  return uint8_t(tf32) | uint8_t(deterministic) << 1;
}

long lcsl_cuda_version() {
  try {
    return at::Context::versionCUDART();
  } catch (...) {
    return 0;  // without libtorch's half for GPUs
  }
}

char* lcsl_enter_stream(int8_t gpu, void** handle) {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl device(c10::DeviceType::CUDA);
    const c10::Stream stream = device.getNewStream(c10::Device(c10::DeviceType::CUDA, gpu));
    device.exchangeStream(stream);
    *handle = device.getStreamNativeHandle(stream);
  });
}

char* lcsl_current_stream(int8_t gpu, void** handle) {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl device(c10::DeviceType::CUDA);
    const c10::Stream stream = device.getStream(c10::Device(c10::DeviceType::CUDA, gpu));
    *handle = device.getStreamNativeHandle(stream);
  });
}

char* lcsl_mark_stream(int8_t gpu, c10::Event** result) {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl device(c10::DeviceType::CUDA);
    auto event = std::make_unique<c10::Event>(c10::DeviceType::CUDA);
    event->record(device.getStream(c10::Device(c10::DeviceType::CUDA, gpu)));
    *result = event.release();
  });
}

char* lcsl_mark_passed(const c10::Event* mark, bool* passed) {
  return guarded([&] { *passed = mark->query(); });
}

void lcsl_mark_delete(c10::Event* mark) { delete mark; }

char* lcsl_hooks_new(const at::Tensor* const* leaves, const at::Tensor* const* slots, size_t count,
                     lcsl::GradientHooks::Announce announce, void* context,
                     lcsl::GradientHooks** result) {
  return guarded([&] {
    std::vector<at::Tensor> all_leaves, all_slots;
    for (size_t leaf = 0; leaf < count; leaf++) {
      all_leaves.push_back(*leaves[leaf]);
      all_slots.push_back(*slots[leaf]);
    }
    *result = new lcsl::GradientHooks(all_leaves, std::move(all_slots), announce, context);
  });
}

void lcsl_hooks_prepare(lcsl::GradientHooks* hooks, bool adds, bool announces) {
  hooks->prepare(adds, announces);
}

void lcsl_hooks_delete(lcsl::GradientHooks* hooks) { delete hooks; }

char* lcsl_batch_norm_across(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias,
                             double epsilon, void* context, lcsl::Ranks::Sum sum,
                             lcsl::Ranks::Release release, at::Tensor** result, at::Tensor** mean,
                             at::Tensor** variance) {
  return guarded([&] {
    const auto ranks = c10::make_intrusive<lcsl::Ranks>(context, sum, release);
    lcsl::Normalised made = lcsl::batch_norm_across(*x, *weight, *bias, epsilon, ranks);
    auto owned = [](at::Tensor& tensor) { return std::make_unique<at::Tensor>(std::move(tensor)); };
    auto first = owned(made.result), second = owned(made.mean), third = owned(made.variance);
    *result = first.release();
    *mean = second.release();
    *variance = third.release();
  });
}

char* lcsl_sgd_step(const at::Tensor* parameters, const at::Tensor* velocity,
                    const at::Tensor* gradient, double momentum, double weight_decay,
                    double learning_rate, bool nesterov) {
  return guarded([&] {
    lcsl::sgd_step(*parameters, *velocity, *gradient, momentum, weight_decay, learning_rate,
                   nesterov);
  });
}

char* lcsl_fused_sgd(const at::Tensor* parameters, const at::Tensor* velocity,
                     const at::Tensor* gradient, double momentum, double weight_decay,
                     double learning_rate, bool nesterov, const at::Tensor* skip) {
  return guarded([&] {
    at::_fused_sgd_({*parameters}, {*gradient}, {*velocity}, weight_decay, momentum, learning_rate,
                    /*dampening=*/0, nesterov, /*maximize=*/false, /*is_first_step=*/false,
                    /*grad_scale=*/{}, /*found_inf=*/*skip);
  });
}

char* lcsl_fused_adamw(const at::Tensor* parameters, const at::Tensor* mean,
                       const at::Tensor* square, const at::Tensor* gradient,
                       const at::Tensor* steps, double learning_rate, double beta1, double beta2,
                       double weight_decay, double epsilon, const at::Tensor* skip) {
  return guarded([&] {
    at::_fused_adamw_({*parameters}, {*gradient}, {*mean}, {*square}, {}, {*steps}, learning_rate,
                      beta1, beta2, weight_decay, epsilon, /*amsgrad=*/false, /*maximize=*/false,
                      /*grad_scale=*/{}, /*found_inf=*/*skip);
  });
}

}  // extern "C"
