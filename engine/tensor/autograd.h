// Define-by-run automatic differentiation: each op records a closure that turns output gradients into input gradients.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt {

// One gradient per input, in order. Undefined where an input needs none.
using Grads = std::vector<Tensor>;

// A recorded op. `backward` receives one gradient per output; an output that nothing used has an undefined one.
struct Node {
  const char* op;
  std::vector<Tensor> inputs;
  std::vector<Shape> output_shapes;
  std::vector<DType> output_dtypes;
  std::function<Grads(const Grads&)> backward;
  Grads pending;   // gradients of the outputs, summed as they arrive
  uint64_t order;  // grows with time, so that a descending walk is a topological one
};

// Makes `y` the result of op `op` on `inputs`. The closure is kept only if an input needs a gradient and recording is
// on. A closure that saves the op's own output must save `y.detach()`.
Tensor record(const char* op, Tensor y, std::vector<Tensor> inputs, std::function<Grads(const Tensor& dy)> backward);

// The same for an op with several outputs.
std::vector<Tensor> record(const char* op, std::vector<Tensor> outputs, std::vector<Tensor> inputs,
                           std::function<Grads(const Grads& dys)> backward);

// Whether an op on these inputs would be recorded; ops use it to skip work that only backward needs.
bool recording(std::initializer_list<Tensor> inputs);

// Memory that an op's backward writes the whole gradient of this input into: the gradient of a leaf itself while it
// holds zeros (ParameterArena::zero_grads), which spares a sum; else new memory.
Tensor gradient_memory(const Tensor& input);

// While one lives, losses expect `seed` for their own gradient: an op that makes a gradient while it computes a loss
// makes it for that one, and only for another does it have to be scaled. Without, 1.
class ExpectedSeed {
 public:
  explicit ExpectedSeed(double seed);
  ~ExpectedSeed();
  ExpectedSeed(const ExpectedSeed&) = delete;
  ExpectedSeed& operator=(const ExpectedSeed&) = delete;
  static double value();

 private:
  double before_;
};

// With it on, each recorded op's outputs are searched for NaN and infinities; the first gives an Error that names the
// op. Slow: for finding out where a run went wrong.
void set_finite_check(bool on);

// While one lives, nothing is recorded: evaluation, teachers, optimizers.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

}  // namespace gestalt
