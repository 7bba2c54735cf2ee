// The arena, the optimizers against PyTorch and against their formulas, and the schedule.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/nn/layers.h"
#include "engine/nn/optimizer.h"
#include "tests/golden_step.h"

namespace gestalt::test {
namespace {

struct Model : Module {
  Tensor weight = Tensor::from(hash_uniform("weight", 12), {3, 4}).to(DType::f32).detach();
  Tensor bias = Tensor::from(hash_uniform("bias", 4), {4}).to(DType::f32).detach();
  void visit(Visitor& v) override {
    v("weight", weight);
    v("bias", bias);
  }
};

void set_gradients(Model& model, int step) {
  for (NamedPart& p : parts(model)) {
    std::vector<double> g = hash_uniform(p.name + " gradient " + std::to_string(step), p.tensor.count());
    for (double& v : g) v *= 3;
    p.tensor.grad().copy_from(Tensor::from(g, p.tensor.shape()));
  }
}

std::vector<std::vector<double>> train(const OptimizerOptions& options, DType compute = DType::f32) {
  Model model;
  ParameterArena arena(model, Device::cpu, compute);
  Optimizer optimizer(arena, options);
  for (int step = 0; step < 5; ++step) {
    set_gradients(model, step);
    optimizer.step(0.1);
  }
  if (compute == DType::bf16) CHECK(model.weight.shadow().values() == model.weight.to(DType::bf16).values());
  return {model.weight.values64(), model.bias.values64()};
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double m = 0;
  for (size_t i = 0; i < a.size(); ++i) m = std::max(m, std::abs(a[i] - b[i]));
  return m;
}

double norm(const std::vector<double>& x) {
  double s = 0;
  for (double v : x) s += v * v;
  return std::sqrt(s);
}

}  // namespace

TEST_CASE("optimizers: five steps equal PyTorch's") {
  std::ifstream stream(std::string(GESTALT_SOURCE_DIR) + "/tests/golden/optimizers.json");
  const auto record = nlohmann::json::parse(stream);
  const OptimizerOptions sgd{.kind = "sgd", .momentum = 0.9, .decay = 0.05};
  const OptimizerOptions adamw{.kind = "adamw", .decay = 0.05, .beta1 = 0.9, .beta2 = 0.95};
  OptimizerOptions clipped = adamw;
  clipped.clip = 1;
  for (const auto& [kind, options] : {std::pair{"sgd", sgd}, {"adamw", adamw}, {"adamw clipped", clipped}}) {
    const char* name = kind;  // clang 14 captures no structured binding
    CAPTURE(name);
    const auto got = train(options);
    CHECK(largest_difference(got[0], record.at(name).at("weight")) < 2e-6);
    CHECK(largest_difference(got[1], record.at(name).at("bias")) < 2e-6);
  }
}

TEST_CASE("LARS: the local rate is η‖w‖ / (‖g‖ + decay‖w‖) for matrices and 1 for biases") {
  for (const bool clip_local : {false, true}) {
    CAPTURE(clip_local);
    std::vector<double> w = hash_uniform("weight", 12), b = hash_uniform("bias", 4), mw(12), mb(4);
    for (int step = 0; step < 5; ++step) {
      const std::vector<double> gw = hash_uniform("weight gradient " + std::to_string(step), 12);
      const std::vector<double> gb = hash_uniform("bias gradient " + std::to_string(step), 4);
      double local = 0.5 * norm(w) / (3 * norm(gw) + 0.05 * norm(w) + 1e-9);
      if (clip_local) local = std::min(local / 0.1, 1.0);
      for (int i = 0; i < 12; ++i) mw[i] = 0.9 * mw[i] + local * (3 * gw[i] + 0.05 * w[i]);
      for (int i = 0; i < 12; ++i) w[i] -= 0.1 * mw[i];
      for (int i = 0; i < 4; ++i) mb[i] = 0.9 * mb[i] + 3 * gb[i];
      for (int i = 0; i < 4; ++i) b[i] -= 0.1 * mb[i];
    }
    const auto got = train({.kind = "lars", .momentum = 0.9, .decay = 0.05, .trust = 0.5, .clip_local = clip_local});
    CHECK(largest_difference(got[0], w) < 2e-6);
    CHECK(largest_difference(got[1], b) < 2e-6);
  }
}

TEST_CASE("optimizers: bf16 shadows are the rounded weights") {
  for (const char* kind : {"sgd", "lars", "adamw"}) train({.kind = kind}, DType::bf16);
}

TEST_CASE("arena: parts are slices of it, states stay outside, gradients add up in place") {
  Random random(3);
  BatchNorm norm(5);
  ParameterArena arena(norm, Device::cpu, DType::bf16);
  CHECK(arena.layout.size() == 2);
  CHECK(norm.weight.same_storage(arena.weights));
  CHECK_FALSE(norm.running_mean.same_storage(arena.weights));
  CHECK(norm.weight.grad().same_storage(arena.grads));
  CHECK(arena.layout[1].begin % 32 == 0);
  CHECK(arena.layout[0].decay == 0);
  norm.weight.backward(Tensor::full({5}, 2));
  norm.weight.backward(Tensor::full({5}, 3));
  CHECK(arena.grads.values()[4] == 5);
  CHECK(arena.grads.values()[5] == 0);
}

TEST_CASE("optimizer: a gradient that is not finite shows in the norm") {
  Model model;
  ParameterArena arena(model, Device::cpu, DType::f32);
  Optimizer optimizer(arena, {});
  model.weight.grad().fill(std::nan(""));
  optimizer.step(0.1);
  CHECK_FALSE(std::isfinite(optimizer.gradient_norm()));
}

TEST_CASE("schedule: linear warm-up, then half a cosine") {
  const Schedule s{2.0, 0.1, 10, 110};
  CHECK(s.at(0) == doctest::Approx(0.2));
  CHECK(s.at(9) == doctest::Approx(2.0));
  CHECK(s.at(10) == doctest::Approx(2.0));
  CHECK(s.at(60) == doctest::Approx(2.0 * (0.1 + 0.9 * 0.5)));
  CHECK(s.at(110) == doctest::Approx(0.2));
  CHECK(s.at(1000) == doctest::Approx(0.2));
}

}  // namespace gestalt::test
