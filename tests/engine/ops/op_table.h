// The op table: one row per op drives its gradient check, dtype and device agreement, extreme values and benchmark.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt::test {

// How an input is drawn, from a counter-based generator.
struct Argument {
  enum class Kind { normal, positive, index };

  Shape shape;
  Kind kind = Kind::normal;  // normal(0, 1); |normal| + 0.1; or i32 uniform in [0, limit)
  int64_t limit = 0;
  // A parameter keeps the accumulator's dtype (f32) when activations are bf16.
  bool parameter = false;
  bool differentiable = true;
};

Argument activation(Shape shape);  // normal, in the dtype under test
Argument weights(Shape shape);     // normal, in the accumulator's dtype
Argument indices(Shape shape, int64_t limit);

struct OpRow {
  std::string name;
  std::vector<Argument> inputs;
  std::function<std::vector<Tensor>(std::span<const Tensor>)> f;

  std::vector<double> kinks = {};               // activations keep 0.05 away from these values in the gradient check
  double gradient_tolerance = 1e-6;             // f64 against central differences, relative to the largest entry
  double f32_tolerance = 2e-5;                  // f32 against f64, outputs and gradients, relative in the 2-norm
  double bf16_tolerance = 2e-2;                 // bf16 against f64; 0: the op has no bf16 form
  double extreme = 1e4;                         // activations of this size must give finite outputs and gradients
  std::vector<std::function<void()>> bad = {};  // each throws Error with "[name" in its text

  // For the benchmark: inputs as large as training has them, and what forward and backward together must move and
  // compute at least: in f32, each operand once, a reduction's twice where its result is needed before it can be used.
  // `bench_fixed_bytes` of the bytes are not halved by bf16. Every op has a row that states them.
  std::vector<Argument> bench_inputs = {};
  double bench_bytes = 0, bench_flops = 0, bench_fixed_bytes = 0;
};

// Rows register themselves: `static const AddRows rows([](std::vector<OpRow>& t) { t.push_back({…}); });`
struct AddRows {
  explicit AddRows(void (*add)(std::vector<OpRow>&));
};
// All rows; with GESTALT_OP=text in the environment, those with `text` in their name.
const std::vector<OpRow>& op_table();

// Fresh inputs for a row. `dtype` is the activations' dtype.
std::vector<Tensor> draw_inputs(const std::vector<Argument>&, DType dtype, uint64_t seed, double scale = 1,
                                const std::vector<double>& kinks = {});

// ‖a − b‖ / ‖b‖, with a tiny floor under the denominator; NaN if either has one.
double relative_error(const Tensor& a, const Tensor& b);

}  // namespace gestalt::test
