// ParameterArena: a module's trained tensors in one flat buffer, with their gradients and bf16 shadows beside them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/nn/module.h"
#include "kernels/optimizer.h"

namespace gestalt {

// After construction the module's tensors are slices of `weights`, their grads slices of `grads`, and, for a bf16
// arena, their shadows slices of `shadows`. Tensors start at multiples of 64 bytes; the gaps hold zeros for ever.
class ParameterArena {
 public:
  // Takes the trained parts of `module` on `device`. `compute` is the dtype ops will run in: f32 or bf16.
  ParameterArena(Module& module, Device device, DType compute);

  void zero_grads();
  // Multiplies the learning rate of each tensor by `factor(its name)`.
  void scale_rates(const std::function<double(const std::string&)>& factor);
  void refresh_shadows();  // after the weights were written by anything but an optimizer

  Tensor weights, grads, shadows;  // (size), the last undefined for f32
  Tensor segments;                 // kernels::Segment records as bytes, on the device
  std::vector<kernels::Segment> layout;
  std::vector<std::string> names;
  int64_t size() const { return weights.count(); }

 private:
  void upload_layout();
};

}  // namespace gestalt
