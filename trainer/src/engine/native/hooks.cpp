// See hooks.h.

#include "hooks.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <utility>

namespace lcsl {

struct GradientHooks::State {
  std::vector<at::Tensor> slots;
  Announce announce;
  void* context;
  bool adds = false;
  bool announces = false;
  bool active = true;
};

namespace {

// Belongs to its leaf, which may live longer than the GradientHooks: hence the shared state.
class Hook : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(std::shared_ptr<GradientHooks::State> state, size_t leaf)
      : state_(std::move(state)), leaf_(leaf) {}

  void operator()(const at::Tensor& leaf) override {
    GradientHooks::State& state = *state_;
    at::Tensor& gradient = leaf.mutable_grad();
    if (!state.active || !gradient.defined()) return;
    const at::NoGradGuard guard;
    if (state.adds) {
      state.slots[leaf_].add_(gradient);
    } else {
      state.slots[leaf_].copy_(gradient);
    }
    gradient.reset();
    if (state.announces) state.announce(state.context, leaf_);
  }

 private:
  std::shared_ptr<GradientHooks::State> state_;
  size_t leaf_;
};

}  // namespace

GradientHooks::GradientHooks(const std::vector<at::Tensor>& leaves, std::vector<at::Tensor> slots,
                             Announce announce, void* context)
    : state_(std::make_shared<State>()) {
  state_->slots = std::move(slots);
  state_->announce = announce;
  state_->context = context;
  for (size_t leaf = 0; leaf < leaves.size(); leaf++) {
    torch::autograd::impl::set_post_acc_grad_hooks(leaves[leaf],
                                                   std::make_unique<Hook>(state_, leaf));
  }
}

GradientHooks::~GradientHooks() { state_->active = false; }

void GradientHooks::prepare(bool adds, bool announces) {
  state_->adds = adds;
  state_->announces = announces;
}

}  // namespace lcsl
