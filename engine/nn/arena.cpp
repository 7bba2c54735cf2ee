// Moving parameters into an arena.
#include "engine/nn/arena.h"

#include <cstring>

#include "kernels/elementwise.h"

namespace gestalt {
namespace {

// Brings every part to the device. Those that an arena takes become tensors of their own; the others may lie in an
// arena already and stay as they are unless they are elsewhere.
class Mover : public Visitor {
 public:
  Mover(Device device, const std::function<bool(const std::string&)>& takes) : device_(device), takes_(takes) {}
  std::vector<NamedPart> taken;

 protected:
  void part(const std::string& path, Tensor& tensor, bool trained) override {
    if (!tensor) return;
    const bool take = trained && (!takes_ || takes_(path));
    if (take || tensor.device() != device_) {
      const bool grad = tensor.requires_grad();
      tensor = tensor.detach().to(device_);
      if (grad) tensor.require_grad();
    }
    if (take) taken.push_back({path, tensor, true});
  }

 private:
  Device device_;
  const std::function<bool(const std::string&)>& takes_;
};

}  // namespace

ParameterArena::ParameterArena(Module& module, Device device, DType compute,
                               const std::function<bool(const std::string&)>& takes) {
  check(compute == DType::f32 || compute == DType::bf16, "[arena] got compute dtype {}, expected f32 or bf16",
        name(compute));
  Mover mover(device, takes);
  module.visit(mover);
  std::vector<NamedPart>& taken = mover.taken;
  check(!taken.empty(), "[arena] got a module without trained parts{}", takes ? " that this arena takes" : "");
  int64_t size = 0;
  for (const NamedPart& p : taken) {
    check(p.tensor.dtype() == DType::f32, "[arena] got {} in {}, expected f32", p.name, name(p.tensor.dtype()));
    layout.push_back({.begin = size, .end = size + p.tensor.count(), .adapt = p.tensor.rank() > 1});
    names.push_back(p.name);
    shapes.push_back(p.tensor.shape());
    size += aligned_count(p.tensor.count());
  }
  weights = Tensor::zeros({size}, DType::f32, device);
  grads = Tensor::zeros({size}, DType::f32, device);
  if (compute != DType::f32) shadows = Tensor::zeros({size}, compute, device);
  for (size_t i = 0; i < taken.size(); ++i) {
    Tensor& t = taken[i].tensor;
    const auto slot = [&](const Tensor& arena) {
      return arena.slice(layout[i].begin, layout[i].end).reshape(t.shape());
    };
    slot(weights).copy_from(t);
    t.rebind(slot(weights));
    t.require_grad();
    gradients_.push_back(slot(grads));
    t.set_grad(gradients_.back());
    if (shadows) t.set_shadow(slot(shadows));
  }
  segments = Tensor::zeros({static_cast<int64_t>(layout.size() * sizeof(kernels::Segment))}, DType::u8, device);
  factors_.resize(layout.size());
  lay_out_factors();
  refresh_shadows();
}

void ParameterArena::factors(const std::function<PartFactors(const std::string&)>& of) {
  for (size_t i = 0; i < layout.size(); ++i) {
    const PartFactors f = of(names[i]);
    check(f.rate >= 0 && f.decay >= 0 && f.frozen_steps >= 0,
          "[arena] got factors {} and {} and {} frozen steps for {}, expected 0 or more", f.rate, f.decay,
          f.frozen_steps, names[i]);
    factors_[i] = f;
  }
  lay_out_factors();
}

void ParameterArena::decay_all() {
  decay_all_ = true;
  lay_out_factors();
}

void ParameterArena::leave_to_another(const std::vector<size_t>& parts) {
  for (size_t part : parts) layout[part].elsewhere = 1;
  lay_out_factors();
}

// Fills in what factors say of the segments, and shows them to the device.
void ParameterArena::lay_out_factors() {
  for (size_t i = 0; i < layout.size(); ++i) {
    const bool decays = layout[i].adapt || decay_all_;  // matrices, or all
    layout[i].rate_scale = static_cast<float>(factors_[i].rate);
    layout[i].decay_scale = decays ? static_cast<float>(factors_[i].decay) : 0;
    layout[i].first_step = factors_[i].frozen_steps;
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(layout.data());
  segments.copy_from(Tensor::from(std::span(bytes, static_cast<size_t>(segments.count())), segments.shape()));
}

void ParameterArena::zero_grads() {
  grads.fill(0);
  for (Tensor& gradient : gradients_) gradient.impl()->untouched = !adds;
}

void ParameterArena::refresh_shadows() {
  if (shadows) shadows.copy_from(weights);
}

}  // namespace gestalt
