// What Rust calls. A tensor is passed as a pointer to an at::Tensor, as torch-sys does; results are
// new ones that the caller owns. No exception leaves this file: a function that can fail returns a
// message to be released with `lcsl_release_message`, or null when all went well.

#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <exception>

#include "convolution.h"
#include "winograd.h"

namespace {

template <typename Work>
char* guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an exception of unknown type");
  }
}

at::Tensor optional(const at::Tensor* tensor) { return tensor == nullptr ? at::Tensor() : *tensor; }

}  // namespace

extern "C" {

void lcsl_release_message(char* message) { std::free(message); }

bool lcsl_keep_freed_memory() {
  // The largest values that glibc takes.
  return mallopt(M_MMAP_THRESHOLD, 32 << 20) != 0 && mallopt(M_TRIM_THRESHOLD, 1 << 30) != 0;
}

bool lcsl_winograd_supported() { return lcsl::winograd::supported(); }

char* lcsl_convolution(const at::Tensor* x, const at::Tensor* weight, at::Tensor** result) {
  return guarded([&] { *result = new at::Tensor(lcsl::convolution(*x, *weight)); });
}

char* lcsl_folded_kernel(const at::Tensor* weight, at::Tensor** result) {
  return guarded([&] { *result = new at::Tensor(lcsl::folded_kernel(*weight)); });
}

char* lcsl_folded_convolution(const at::Tensor* x, const at::Tensor* kernel, const at::Tensor* bias,
                              const at::Tensor* residual, bool relu, at::Tensor** result) {
  return guarded([&] {
    *result = new at::Tensor(
        lcsl::folded_convolution(*x, *kernel, *bias, optional(residual), relu));
  });
}

}  // extern "C"
