// Drawing inputs for the op table's rows, and comparing results.
#include "tests/engine/ops/op_table.h"

#include <cmath>
#include <cstdlib>

#include "kernels/philox.h"

namespace gestalt::test {
namespace {

std::vector<OpRow>& rows() {
  static std::vector<OpRow> table;
  return table;
}

double normal(uint64_t seed, uint32_t input, uint32_t element) {
  const Philox4 r = draw(seed, Use::test, 0, element, input);
  const double u = (r.word[0] + 0.5) * 0x1p-32, v = (r.word[1] + 0.5) * 0x1p-32;
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v);
}

}  // namespace

AddRows::AddRows(void (*add)(std::vector<OpRow>&)) { add(rows()); }

const std::vector<OpRow>& op_table() {
  static const std::vector<OpRow> chosen = [] {
    const char* part = std::getenv("GESTALT_OP");
    std::vector<OpRow> some;
    for (const OpRow& row : rows())
      if (!part || row.name.find(part) != std::string::npos) some.push_back(row);
    return some;
  }();
  return chosen;
}

Argument activation(Shape shape) { return {shape}; }
Argument weights(Shape shape) { return {shape, Argument::Kind::normal, 0, true}; }
Argument indices(Shape shape, int64_t limit) { return {shape, Argument::Kind::index, limit, false, false}; }

std::vector<Tensor> draw_inputs(const std::vector<Argument>& arguments, DType dtype, uint64_t seed, double scale,
                                const std::vector<double>& kinks) {
  std::vector<Tensor> inputs;
  for (uint32_t a = 0; a < arguments.size(); ++a) {
    const Argument& argument = arguments[a];
    const int64_t count = argument.shape.count();
    if (argument.kind == Argument::Kind::index) {
      std::vector<int32_t> values(count);
      for (int64_t i = 0; i < count; ++i)
        values[i] =
            static_cast<int32_t>(draw(seed, Use::test, 0, static_cast<uint32_t>(i), a).word[0] % argument.limit);
      inputs.push_back(Tensor::from(values, argument.shape));
      continue;
    }
    std::vector<double> values(count);
    for (int64_t i = 0; i < count; ++i) {
      double v = normal(seed, a, static_cast<uint32_t>(i));
      if (argument.kind == Argument::Kind::positive) v = std::abs(v) + 0.1;
      if (!argument.parameter) v *= scale;
      for (double kink : kinks)
        if (std::abs(v - kink) < 0.05) v = kink + (v < kink ? -0.05 : 0.05) + (v - kink);
      values[i] = v;
    }
    // Through the narrowest dtype that a test compares, so that all dtypes see the same numbers.
    Tensor t = Tensor::from(values, argument.shape).to(argument.parameter ? DType::f32 : DType::bf16);
    t = t.to(argument.parameter ? accumulator_of(dtype) : dtype).detach();
    if (argument.differentiable) t.require_grad();
    inputs.push_back(t);
  }
  return inputs;
}

double relative_error(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.values64(), y = b.values64();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    difference += (x[i] - y[i]) * (x[i] - y[i]);
    norm += y[i] * y[i];
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-12);
}

}  // namespace gestalt::test
