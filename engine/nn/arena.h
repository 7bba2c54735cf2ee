// ParameterArena: a module's trained tensors in one flat buffer, with their gradients and bf16 shadows beside them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/nn/module.h"
#include "kernels/optimizer.h"

namespace gestalt {

// Elements from the beginning of a part of `count` elements to the next one's: bf16 shadows too start at multiples of
// 64 bytes.
inline int64_t aligned_count(int64_t count) {
  constexpr int64_t alignment = 64 / 2;
  return (count + alignment - 1) / alignment * alignment;
}

// How one part departs from what the others get.
struct PartFactors {
  double rate = 1;   // multiplies the learning rate
  double decay = 1;  // multiplies the weight decay
  // So many steps at the start leave the part, its moments and its count of updates alone. Its gradient counts in the
  // norm of all, as where PyTorch drops it between clipping and the update.
  int64_t frozen_steps = 0;
};

// After construction the module's tensors are slices of `weights`, their grads slices of `grads`, and, for a bf16
// arena, their shadows slices of `shadows`. Tensors start at multiples of 64 bytes; the gaps hold zeros for ever.
class ParameterArena {
 public:
  // Takes the trained parts of `module` whose names `takes` accepts, all without it. `compute` is the dtype ops will
  // run in: f32 or bf16. Several arenas may share out the parts of one module; the first brings all of them to
  // `device`.
  ParameterArena(Module& module, Device device, DType compute,
                 const std::function<bool(const std::string&)>& takes = {});

  // After it, the first gradient of a part is written where it belongs, not added (gradient_memory), unless `adds`: a
  // backward pass that is replayed several times between two of these.
  void zero_grads();
  bool adds = false;
  // Gives each part the factors `of(its name)` in place of those it had. Biases and norm parameters (rank ≤ 1) do not
  // decay, whatever their factor, until decay_all().
  void factors(const std::function<PartFactors(const std::string&)>& of);
  void decay_all();
  void leave_to_another(const std::vector<size_t>& parts);  // optimizers of the whole arena pass these by
  void refresh_shadows();  // after the weights were written by anything but an optimizer

  Tensor weights, grads, shadows;  // (size), the last undefined for f32
  Tensor segments;                 // kernels::Segment records as bytes, on the device
  std::vector<kernels::Segment> layout;
  std::vector<std::string> names;
  std::vector<Shape> shapes;
  int64_t size() const { return weights.count(); }

 private:
  void lay_out_factors();

  std::vector<Tensor> gradients_;  // of the parts, each in its slice
  std::vector<PartFactors> factors_;
  bool decay_all_ = false;
};

}  // namespace gestalt
