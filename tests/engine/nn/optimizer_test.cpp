// The arena, alone and beside another, and the optimizers against PyTorch and against their formulas.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/nn/layers.h"
#include "engine/nn/optimizer.h"
#include "tests/devices.h"
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

double norm(const std::vector<double>& x) {
  double s = 0;
  for (double v : x) s += v * v;
  return std::sqrt(s);
}

void set_gradients(Model& model, int step) {
  for (NamedPart& p : parts(model)) {
    std::vector<double> g = hash_uniform(p.name + " gradient " + std::to_string(step), p.tensor.count());
    for (double& v : g) v *= 3;
    p.tensor.grad().copy_from(Tensor::from(g, p.tensor.shape()));
  }
}

// What five steps at rate 0.1 make of weight and bias.
struct Course {
  OptimizerOptions options;
  std::function<PartFactors(const std::string&)> factors = {};
  DType compute = DType::f32;
  Device device = Device::cpu;
};

std::vector<std::vector<double>> train(const Course& c) {
  Model model;
  ParameterArena arena(model, c.device, c.compute);
  if (c.factors) arena.factors(c.factors);
  Optimizer optimizer(arena, c.options);
  const Schedule decay = decay_schedule(c.options, 5);
  for (int step = 0; step < 5; ++step) {
    set_gradients(model, step);
    const double expected = norm(arena.grads.values64());
    optimizer.step(0.1, decay.at(step));
    CHECK(optimizer.gradient_norm() == doctest::Approx(expected));
  }
  if (c.compute == DType::bf16) CHECK(model.weight.shadow().values() == model.weight.to(DType::bf16).values());
  return {model.weight.values64(), model.bias.values64()};
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double m = 0;
  for (size_t i = 0; i < a.size(); ++i) m = std::max(m, std::abs(a[i] - b[i]));
  return m;
}

}  // namespace

TEST_CASE("optimizers, every device: five steps equal PyTorch's") {
  const auto record = golden_record("optimizers.json");
  const OptimizerOptions sgd{.kind = "sgd", .momentum = 0.9, .decay = 0.05};
  const OptimizerOptions adamw{.kind = "adamw", .decay = 0.05, .beta1 = 0.9, .beta2 = 0.95};
  const auto with = [](OptimizerOptions o, const std::function<void(OptimizerOptions&)>& change) {
    change(o);
    return o;
  };
  const auto clip = [](OptimizerOptions& o) { o.clip = 1; };
  const auto clip_each = [](OptimizerOptions& o) { o.clip = 2.2, o.clip_each = true; };
  const auto all_to_more = [](OptimizerOptions& o) { o.decay_end = 0.4, o.decay_all = true; };
  const auto frozen = [](const char* which) {
    return [which](const std::string& part) -> PartFactors { return {.frozen_steps = part == which ? 2 : 0}; };
  };
  const auto factors = [](const std::string& part) -> PartFactors {
    return part == "weight" ? PartFactors{.rate = 0.5, .decay = 3} : PartFactors{.rate = 2, .decay = 0.5};
  };
  const std::vector<std::pair<std::string, Course>> courses{
      {"sgd", {sgd}},
      {"sgd clipped each", {with(sgd, clip_each)}},
      {"sgd factors", {with(sgd, [](OptimizerOptions& o) { o.decay_all = true; }), factors}},
      {"sgd frozen", {sgd, frozen("weight")}},
      {"adamw", {adamw}},
      {"adamw clipped", {with(adamw, clip)}},
      {"adamw clipped each", {with(adamw, clip_each)}},
      {"adamw decay schedule", {with(adamw, all_to_more)}},
      {"adamw frozen", {adamw, frozen("weight")}},
      {"adamw all", {with(with(adamw, clip_each), all_to_more), frozen("bias")}}};
  CHECK(courses.size() == record.size());
  for (const Device device : devices())
    for (const auto& [kind, course] : courses) {
      const std::string which = kind;  // clang 14 captures no structured binding
      CAPTURE(which);
      CAPTURE(name(device));
      Course on = course;
      on.device = device;
      const auto got = train(on);
      CHECK(largest_difference(got[0], record.at(which).at("weight").get<std::vector<double>>()) < 2e-6);
      CHECK(largest_difference(got[1], record.at(which).at("bias").get<std::vector<double>>()) < 2e-6);
    }
}

TEST_CASE("optimizers, every device: a frozen part is left alone, moments and shadows too") {
  for (const Device device : devices())
    for (const char* kind : {"sgd", "lars", "adamw"}) {
      CAPTURE(kind);
      Model model;
      ParameterArena arena(model, device, DType::bf16);
      arena.factors([](const std::string& part) -> PartFactors { return {.frozen_steps = part == "weight" ? 1 : 0}; });
      Optimizer optimizer(arena, {.kind = kind, .decay = 0.05});
      const std::vector<double> weight = model.weight.values64(), bias = model.bias.values64();
      const auto moved = [&] {
        Tensor moment = optimizer.state()[0].second;
        return norm(moment.slice(arena.layout[0].begin, arena.layout[0].end).values64()) > 0;
      };
      set_gradients(model, 0);
      optimizer.step(0.1, 0.05);
      CHECK(model.weight.values64() == weight);
      CHECK_FALSE(moved());
      CHECK(model.bias.values64() != bias);
      CHECK(norm(arena.grads.values64()) == 0);
      set_gradients(model, 1);
      optimizer.step(0.1, 0.05);
      CHECK(model.weight.values64() != weight);
      CHECK(moved());
      CHECK(model.weight.shadow().values() == model.weight.to(DType::bf16).values());
    }
}

TEST_CASE("optimizers: options that contradict one another are errors") {
  Model model;
  ParameterArena arena(model, Device::cpu, DType::f32);
  CHECK_THROWS_AS(Optimizer(arena, {.kind = "adam"}), Error);
  CHECK_THROWS_AS(Optimizer(arena, {.kind = "lars", .trust = 0}), Error);
  CHECK_THROWS_AS(Optimizer(arena, {.kind = "sgd", .clip = 0, .clip_each = true}), Error);
  CHECK_THROWS_AS(arena.factors([](const std::string&) -> PartFactors { return {.rate = -1}; }), Error);
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
    const auto got = train({{.kind = "lars", .momentum = 0.9, .decay = 0.05, .trust = 0.5, .clip_local = clip_local}});
    CHECK(largest_difference(got[0], w) < 2e-6);
    CHECK(largest_difference(got[1], b) < 2e-6);
  }
}

TEST_CASE("optimizers: bf16 shadows are the rounded weights") {
  for (const char* kind : {"sgd", "lars", "adamw"}) train({.options = {.kind = kind}, .compute = DType::bf16});
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
  CHECK(arena.layout[0].decay_scale == 0);
  arena.decay_all();
  CHECK(arena.layout[0].decay_scale == 1);
  CHECK(arena.layout[0].adapt == 0);
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
  optimizer.step(0.1, 0);
  CHECK_FALSE(std::isfinite(optimizer.gradient_norm()));
}

TEST_CASE("two arenas, every device: share out the parts of a module and leave each other's alone") {
  for (const Device device : devices()) {
    CAPTURE(name(device));
    Random random(3);
    struct Two : Module {
      Linear generator, critic;
      BatchNorm norm;
      explicit Two(Random& r) : generator(3, 5, r), critic(5, 2, r), norm(5) {}
      void visit(Visitor& v) override {
        v("critic", critic);
        v("generator", generator);
        v("norm", norm);
      }
    } model(random);
    const auto of_critic = [](const std::string& part) { return part.starts_with("critic."); };
    ParameterArena first(model, device, DType::bf16, of_critic);
    CHECK(first.names == std::vector<std::string>{"critic.weight", "critic.bias"});
    CHECK(model.norm.running_mean.device() == device);
    CHECK(model.generator.weight.device() == device);
    const Tensor mean = model.norm.running_mean, shadow = model.critic.weight.shadow();
    ParameterArena second(model, device, DType::f32, [&](const std::string& part) { return !of_critic(part); });
    CHECK(second.layout.size() == 4);
    CHECK(model.critic.weight.same_storage(first.weights));
    CHECK(model.critic.weight.grad().same_storage(first.grads));
    CHECK(model.critic.weight.shadow().same_storage(shadow));
    CHECK(model.critic.weight.requires_grad());
    CHECK(model.norm.running_mean.same_storage(mean));
    CHECK(model.generator.weight.same_storage(second.weights));
    CHECK(model.generator.weight.grad().same_storage(second.grads));

    Optimizer of_first(first, {.kind = "sgd", .momentum = 0}), of_second(second, {.kind = "adamw"});
    const std::vector<float> critic = model.critic.weight.values(), generator = model.generator.weight.values();
    first.grads.fill(1);
    second.grads.fill(1);
    of_first.step(0.5, 0);
    CHECK(model.critic.weight.values()[0] == doctest::Approx(critic[0] - 0.5f));
    CHECK(model.generator.weight.values() == generator);
    CHECK(second.grads.values()[0] == 1);
    of_second.step(0.5, 0);
    CHECK(model.generator.weight.values()[0] == doctest::Approx(generator[0] - 0.5f));
    CHECK(model.critic.weight.values()[0] == doctest::Approx(critic[0] - 0.5f));
    CHECK_THROWS_AS(ParameterArena(model, device, DType::f32, [](const std::string&) { return false; }), Error);
  }
}

TEST_CASE("schedules of options: warm-up by epochs or steps, a weight decay that moves or stays") {
  OptimizerOptions o{.rate = 0.1, .decay = 0.04, .warmup_epochs = 2, .final_rate = 0.1};
  CHECK(rate_schedule(o, 512, 50, 1000).at(99) == doctest::Approx(0.2));
  CHECK(rate_schedule(o, 512, 50, 1000).at(0) == doctest::Approx(0.002));
  CHECK(rate_schedule(o, 512, 50, 1000).at(1000) == doctest::Approx(0.02));
  CHECK(decay_schedule(o, 1000).at(700) == 0.04);
  o.decay_end = 0.4;
  CHECK(decay_schedule(o, 1000).at(0) == doctest::Approx(0.04));
  CHECK(decay_schedule(o, 1000).at(500) == doctest::Approx(0.22));
  CHECK(decay_schedule(o, 1000).at(1000) == 0.4);
}

}  // namespace gestalt::test
