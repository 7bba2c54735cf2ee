// Moving parameters into an arena.
#include "engine/nn/arena.h"

#include <cstring>

#include "kernels/elementwise.h"

namespace gestalt {

ParameterArena::ParameterArena(Module& module, Device device, DType compute) {
  check(compute == DType::f32 || compute == DType::bf16, "[arena] got compute dtype {}, expected f32 or bf16",
        name(compute));
  move_to(module, device);
  constexpr int64_t alignment = 64 / 2;  // elements, so that bf16 shadows are aligned too
  std::vector<NamedPart> trained;
  int64_t size = 0;
  for (NamedPart& p : parts(module)) {
    if (!p.trained) continue;
    check(p.tensor.dtype() == DType::f32, "[arena] got {} in {}, expected f32", p.name, name(p.tensor.dtype()));
    const bool matrix = p.tensor.rank() > 1;
    layout.push_back({size, size + p.tensor.count(), matrix, matrix, 1.0f, 0.0f});
    names.push_back(p.name);
    size += (p.tensor.count() + alignment - 1) / alignment * alignment;
    trained.push_back(p);
  }
  check(!trained.empty(), "[arena] got a module without trained parts");
  weights = Tensor::zeros({size}, DType::f32, device);
  grads = Tensor::zeros({size}, DType::f32, device);
  if (compute != DType::f32) shadows = Tensor::zeros({size}, compute, device);
  for (size_t i = 0; i < trained.size(); ++i) {
    Tensor& t = trained[i].tensor;
    const auto slot = [&](const Tensor& arena) {
      return arena.slice(layout[i].begin, layout[i].end).reshape(t.shape());
    };
    slot(weights).copy_from(t);
    t.rebind(slot(weights));
    t.require_grad();
    t.set_grad(slot(grads));
    if (shadows) t.set_shadow(slot(shadows));
  }
  upload_layout();
  refresh_shadows();
}

void ParameterArena::upload_layout() {
  const auto* bytes = reinterpret_cast<const uint8_t*>(layout.data());
  const auto length = static_cast<int64_t>(layout.size() * sizeof(kernels::Segment));
  segments = Tensor::from(std::span(bytes, static_cast<size_t>(length)), {length}).to(weights.device());
}

void ParameterArena::scale_rates(const std::function<double(const std::string&)>& factor) {
  for (size_t i = 0; i < layout.size(); ++i) layout[i].rate_scale *= static_cast<float>(factor(names[i]));
  upload_layout();
}

void ParameterArena::zero_grads() { grads.fill(0); }

void ParameterArena::refresh_shadows() {
  if (shadows) shadows.copy_from(weights);
}

}  // namespace gestalt
