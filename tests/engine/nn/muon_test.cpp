// Muon against its algorithm in f64, and which parts it takes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/nn/layers.h"
#include "engine/nn/optimizer.h"
#include "tests/devices.h"
#include "tests/golden_step.h"

namespace gestalt::test {
namespace {

struct Model : Module {
  explicit Model(const Shape& shape)
      : weight(Tensor::from(hash_uniform("weight", shape.count()), shape).to(DType::f32).detach()) {}
  Tensor weight;
  Tensor bias = Tensor::from(hash_uniform("bias", 4), {4}).to(DType::f32).detach();
  void visit(Visitor& v) override {
    v("weight", weight);
    v("bias", bias);
  }
};

struct Course {
  const char* name;
  Shape shape;
  double clip = 0;
  int64_t frozen = 0;
};
const std::vector<Course> courses{{.name = "wide", .shape = {3, 4}},
                                  {.name = "tall", .shape = {7, 3}},
                                  {.name = "filters", .shape = {4, 2, 2, 3}},
                                  {.name = "clipped", .shape = {7, 3}, .clip = 1},
                                  {.name = "frozen", .shape = {7, 3}, .frozen = 2}};

// What five steps make of weight and bias.
std::vector<std::vector<double>> train(const Course& c, Device device, DType compute) {
  Model model(c.shape);
  ParameterArena arena(model, device, compute);
  arena.factors(
      [&](const std::string& part) -> PartFactors { return {.frozen_steps = part == "weight" ? c.frozen : 0}; });
  Optimizer optimizer(arena, {.kind = "muon", .beta1 = 0.9, .beta2 = 0.95, .clip = c.clip});
  for (int step = 0; step < 5; ++step) {
    for (NamedPart& p : parts(model)) {
      std::vector<double> g = hash_uniform(p.name + " gradient " + std::to_string(step), p.tensor.count());
      for (double& v : g) v *= 3;
      p.tensor.grad().copy_from(Tensor::from(g, p.tensor.shape()));
    }
    optimizer.step(0.02, 0.1);
  }
  if (compute == DType::bf16) CHECK(model.weight.shadow().values() == model.weight.to(DType::bf16).values());
  return {model.weight.values64(), model.bias.values64()};
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double m = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size(); ++i) m = std::max(m, std::abs(a[i] - b[i]));
  return m;
}

}  // namespace

TEST_CASE("Muon, every device: five steps equal the algorithm's, bf16 within its rounding") {
  const auto record = golden_record("muon.json");
  CHECK(courses.size() == record.size());
  for (const Device device : devices())
    for (const Course& c : courses) {
      CAPTURE(c.name);
      CAPTURE(name(device));
      const auto& expected = record.at(c.name);
      const auto f32 = train(c, device, DType::f32), bf16 = train(c, device, DType::bf16);
      CHECK(largest_difference(f32[0], expected.at("weight").get<std::vector<double>>()) < 5e-6);
      CHECK(largest_difference(f32[1], expected.at("bias").get<std::vector<double>>()) < 2e-6);
      CHECK(largest_difference(bf16[0], expected.at("weight").get<std::vector<double>>()) <
            5e-3);  // five updates of some 0.02
    }
}

TEST_CASE("Muon takes the matrices of hidden layers") {
  for (const char* part :
       {"model.h.0.attn.qkv.weight", "encoder.blocks.3.mlp.fc1.weight", "decoder.blocks.0.attn.proj.weight"})
    CHECK(is_hidden_matrix(part, {8, 4}));
  CHECK(is_hidden_matrix("encoder.layer1.0.conv1.weight", {8, 3, 3, 4}));
  for (const char* part :
       {"model.wte.weight", "model.wpe.weight", "encoder.pos_embed", "encoder.patch_embed.proj.weight",
        "student.head.last_layer.weight", "head.linears.0.weight", "decoder.pred.weight"})
    CHECK_FALSE(is_hidden_matrix(part, {8, 4}));
  CHECK_FALSE(is_hidden_matrix("encoder.blocks.0.norm1.weight", {8}));
  CHECK_FALSE(is_hidden_matrix("encoder.cls_token", {1, 1, 8}));

  Model model({1, 4});
  ParameterArena arena(model, Device::cpu, DType::f32);
  CHECK_THROWS_AS(Optimizer(arena, {.kind = "muon"}), Error);
  Model other({3, 4});
  ParameterArena of_other(other, Device::cpu, DType::f32);
  CHECK_THROWS_AS(Optimizer(of_other, {.kind = "muon", .clip = 1, .clip_each = true}), Error);
  CHECK_THROWS_AS(Optimizer(of_other, {.kind = "muon", .muon_momentum = 1}), Error);
}

}  // namespace gestalt::test
