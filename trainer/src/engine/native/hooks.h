// Gradients that go to their place in a flat buffer as soon as a backward pass has made them.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

namespace lcsl {

/// Watches the gradients of some leaf tensors.
///
/// When a backward pass has finished a leaf's gradient, it is copied to the leaf's slot, or added to what
/// lies there, and the leaf's own `grad` is dropped. Then, if asked to, the leaf's number is announced.
class GradientHooks {
 public:
  /// Called on the thread of the backward pass; must not throw.
  using Announce = void (*)(void* context, size_t leaf);

  /// `slots` have the leaves' shapes. `context` must stay valid until this object is gone.
  GradientHooks(const std::vector<at::Tensor>& leaves, std::vector<at::Tensor> slots,
                Announce announce, void* context);
  GradientHooks(const GradientHooks&) = delete;
  GradientHooks& operator=(const GradientHooks&) = delete;
  /// From now on the leaves keep their gradients, as without hooks.
  ~GradientHooks();

  /// What the next backward passes do: add to the slots or overwrite them, announce or not.
  void prepare(bool adds, bool announces);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace lcsl
