// What every row of the op table must pass.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <set>

#include "engine/tensor/allocator.h"
#include "engine/tensor/autograd.h"
#include "kernels/launch.h"
#include "tests/engine/ops/op_table.h"
#if GESTALT_EMULATED
#include "tests/cuda_emulator/emulator.h"
#endif

namespace gestalt::test {
namespace {

// Σ_k Σ_i weight_ki · output_ki, in f64, with the weights as seeds of the backward walk.
struct Probe {
  std::vector<Tensor> seeds;

  explicit Probe(const std::vector<Tensor>& outputs, uint64_t seed = 99) {
    for (const Tensor& y : outputs)
      seeds.push_back(
          draw_inputs({{y.shape(), Argument::Kind::normal, 0, false, false}}, y.dtype(), seed++)[0].to(y.device()));
  }
  double value(const std::vector<Tensor>& outputs) const {
    double sum = 0;
    for (size_t k = 0; k < outputs.size(); ++k) {
      const std::vector<double> y = outputs[k].values64(), w = seeds[k].values64();
      for (size_t i = 0; i < y.size(); ++i) sum += y[i] * w[i];
    }
    return sum;
  }
  void backward(const std::vector<Tensor>& outputs) const {
    for (size_t k = 0; k < outputs.size(); ++k)
      if (outputs[k].requires_grad()) {
        // A later output's walk may need nodes an earlier one has freed, so outputs join in one record.
        if (outputs.size() == 1) outputs[k].backward(seeds[k]);
      }
    if (outputs.size() > 1) joined(outputs).backward();
  }

 private:
  Tensor joined(const std::vector<Tensor>& outputs) const {
    Tensor total = Tensor::full({1}, value(outputs), DType::f64);
    return record("probe", total, outputs, [seeds = seeds](const Tensor&) -> Grads { return seeds; });
  }
};

struct Results {
  std::vector<Tensor> outputs, grads;
};

Results evaluate(const OpRow& row, std::vector<Tensor> inputs) {
  Results r;
  r.outputs = row.f(inputs);
  Probe(r.outputs).backward(r.outputs);
  for (size_t i = 0; i < inputs.size(); ++i)
    r.grads.push_back(row.inputs[i].differentiable ? inputs[i].grad() : Tensor());
  check_sentinels();
  return r;
}

double largest(const Tensor& t) {
  double m = 0;
  for (double v : t.values64()) m = std::isfinite(v) ? std::max(m, std::abs(v)) : INFINITY;
  return m;
}

std::vector<Tensor> moved(const std::vector<Tensor>& inputs, Device device) {
  std::vector<Tensor> there;
  for (const Tensor& x : inputs) there.push_back(x.detach().to(device).detach().require_grad(x.requires_grad()));
  return there;
}

// The bytes of all results, on the host.
std::vector<double> all_values(const Results& r) {
  std::vector<double> all;
  for (const auto* list : {&r.outputs, &r.grads})
    for (const Tensor& t : *list) {
      if (!t) continue;
      const std::vector<double> values = t.values64();
      all.insert(all.end(), values.begin(), values.end());
    }
  return all;
}

// Calls f for each order of threads that the device can be made to run in; a real device has one.
void for_each_thread_order(const std::function<void()>& f) {
#if GESTALT_EMULATED
  const emulator::Order before = emulator::order();
  for (auto order : {emulator::Order::forward, emulator::Order::reverse, emulator::Order::random}) {
    emulator::set_order(order);
    f();
  }
  emulator::set_order(before);
#else
  f();
  f();
#endif
}

}  // namespace

TEST_CASE("op table: every op states what it costs at a benchmark's size") {
  const std::set<std::string> views{"reshape", "slice", "used"};  // no kernel of their own
  std::map<std::string, bool> stated;                             // by op, the first word of a row's name
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    bool& found = stated[row.name.substr(0, row.name.find(' '))];
    if (row.bench_inputs.empty()) continue;
    CHECK(row.bench_inputs.size() == row.inputs.size());
    CHECK(row.bench_bytes > row.bench_fixed_bytes);
    CHECK(row.bench_flops > 0);
    found = true;
  }
  for (const auto& entry : stated)
    CHECK_MESSAGE((entry.second || views.contains(entry.first)), entry.first, " has no row with a benchmark");
}

TEST_CASE("op table: f64 gradients equal central differences") {
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    std::vector<Tensor> inputs = draw_inputs(row.inputs, DType::f64, 7, 1, row.kinks);
    const Results r = evaluate(row, inputs);
    const Probe probe(r.outputs);
    NoGrad no_grad;
    for (size_t a = 0; a < inputs.size(); ++a) {
      if (!row.inputs[a].differentiable) continue;
      CAPTURE(a);
      REQUIRE(r.grads[a]);
      const std::vector<double> grad = r.grads[a].values64();
      const double scale = std::max(largest(r.grads[a]), 1e-3);
      double* x = inputs[a].data<double>();
      const int64_t stride = std::max<int64_t>(1, inputs[a].count() / 60);  // up to about 60 elements an input
      double worst = 0;
      for (int64_t i = 0; i < inputs[a].count(); i += stride) {
        const double h = 1e-5, before = x[i];
        x[i] = before + h;
        const double up = probe.value(row.f(inputs));
        x[i] = before - h;
        const double down = probe.value(row.f(inputs));
        x[i] = before;
        worst = std::max(worst, std::abs((up - down) / (2 * h) - grad[i]) / scale);
      }
      CHECK_MESSAGE(worst < row.gradient_tolerance, row.name, ": input ", a, " is off by ", worst);
    }
  }
}

TEST_CASE("op table: f32 and bf16 agree with f64") {
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    const Results expected = evaluate(row, draw_inputs(row.inputs, DType::f64, 11, 1, row.kinks));
    for (DType dtype : {DType::f32, DType::bf16}) {
      const double tolerance = dtype == DType::f32 ? row.f32_tolerance : row.bf16_tolerance;
      if (tolerance == 0) continue;
      CAPTURE(name(dtype));
      const Results got = evaluate(row, draw_inputs(row.inputs, dtype, 11, 1, row.kinks));
      for (size_t k = 0; k < got.outputs.size(); ++k)
        CHECK(relative_error(got.outputs[k], expected.outputs[k]) < tolerance);
      for (size_t a = 0; a < got.grads.size(); ++a) {
        if (!got.grads[a]) continue;
        CAPTURE(a);
        CHECK(relative_error(got.grads[a], expected.grads[a]) < tolerance * 2);
      }
    }
  }
}

TEST_CASE("op table: cuda agrees with cpu, and with itself in every order of threads" *
          doctest::skip(!kernels::built_with_cuda)) {
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    const Results exact = evaluate(row, draw_inputs(row.inputs, DType::f64, 11, 1, row.kinks));
    for (DType dtype : {DType::f32, DType::bf16}) {
      const double tolerance = dtype == DType::f32 ? row.f32_tolerance : row.bf16_tolerance;
      if (tolerance == 0) continue;
      CAPTURE(name(dtype));
      const std::vector<Tensor> inputs = draw_inputs(row.inputs, dtype, 11, 1, row.kinks);
      std::vector<double> first;
      for_each_thread_order([&] {
        const Results got = evaluate(row, moved(inputs, Device::cuda));
        for (size_t k = 0; k < got.outputs.size(); ++k) {
          CHECK(got.outputs[k].device() == Device::cuda);
          CHECK(relative_error(got.outputs[k], exact.outputs[k]) < tolerance);
        }
        for (size_t a = 0; a < got.grads.size(); ++a) {
          if (!got.grads[a]) continue;
          CAPTURE(a);
          CHECK(relative_error(got.grads[a], exact.grads[a]) < tolerance * 2);
        }
        const std::vector<double> values = all_values(got);
        if (first.empty()) first = values;
        CHECK(std::memcmp(first.data(), values.data(), values.size() * sizeof(double)) == 0);
      });
    }
  }
}

TEST_CASE("op table: cuda stays finite on extreme values" * doctest::skip(!kernels::built_with_cuda)) {
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    for (double scale : {0.0, row.extreme}) {
      CAPTURE(scale);
      const Results r = evaluate(row, moved(draw_inputs(row.inputs, DType::f32, 13, scale), Device::cuda));
      for (const Tensor& y : r.outputs) CHECK(std::isfinite(largest(y)));
      for (const Tensor& g : r.grads)
        if (g) CHECK(std::isfinite(largest(g)));
    }
  }
}

TEST_CASE("op table: extreme values stay finite") {
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    for (double scale : {0.0, row.extreme}) {
      CAPTURE(scale);
      const Results r = evaluate(row, draw_inputs(row.inputs, DType::f32, 13, scale));
      for (const Tensor& y : r.outputs) CHECK(std::isfinite(largest(y)));
      for (const Tensor& g : r.grads)
        if (g) CHECK(std::isfinite(largest(g)));
    }
  }
}

TEST_CASE("op table: bad input is refused by name") {
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    for (const auto& bad : row.bad) {
      std::string message;
      try {
        bad();
      } catch (const Error& e) { message = e.what(); }
      const std::string op = row.name.substr(0, row.name.find(' '));
      CHECK_MESSAGE(message.find("[" + op) == 0, "got: '", message, "'");
    }
  }
}

}  // namespace gestalt::test
