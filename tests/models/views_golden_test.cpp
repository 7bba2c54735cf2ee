// Heads, positions and whole steps of VICReg and DINO against PyTorch.
#include <doctest/doctest.h>

#include "engine/nn/arena.h"
#include "engine/ops/covariance.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/ops/soft_cross_entropy.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "models/vit.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/method_goldens.h"

namespace gestalt::test {
namespace {

Tensor pixels(const std::string& name, int64_t count, int64_t size, Device device) {
  const Shape shape{count, size, size, 3};
  std::vector<double> values = hash_uniform(name, shape.count());
  for (double& v : values) v += 0.5;
  return Tensor::from(values, shape).to(DType::f32).to(device);
}

void check_step(const char* record, double loss, Module& module) {
  const StepErrors errors = compare_step(record, loss, module);
  CHECK(errors.loss < 1e-5);
  const GradientError worst = errors.worst();
  MESSAGE("largest relative gradient error: ", worst.error, " in ", worst.name, ", of ", errors.gradients.size());
  for (const GradientError& g : errors.gradients) CHECK_MESSAGE(g.error < 1e-4, g.name);
}

struct VicregParts : Module {
  Random random{1};
  std::unique_ptr<Encoder> encoder = make_encoder({.model = "resnet10", .stem = "cifar", .width = 8}, 16, random);
  MlpHead projector{64, 32, 32, 3, true, random, false, false};

  Tensor embed(const Tensor& images) { return projector(encoder->forward(images, true), true); }
  void visit(Visitor& v) override {
    v("encoder", *encoder);
    v("projector", projector);
  }
};

struct DinoNetwork : Module {
  std::unique_ptr<Encoder> encoder;
  DinoHead head;

  DinoNetwork() {
    Random random(1);
    encoder = make_encoder({.model = "vit-nano", .patch = 4, .pool = "cls"}, 16, random);
    head = DinoHead(encoder->features(), {.hidden = 32, .bottleneck = 16, .out = 24}, random);
  }
  void visit(Visitor& v) override {
    v("encoder", *encoder);
    v("head", head);
  }
};

// A module as the only part of another, under a name.
struct Named : Module {
  std::string name;
  Module& module;
  Named(std::string name, Module& module) : name(std::move(name)), module(module) {}
  void visit(Visitor& v) override { v(name, module); }
};

std::vector<double> positions_of(int64_t rows, int64_t columns) {
  return golden_values("views.json", "positions_" + std::to_string(rows) + "x" + std::to_string(columns));
}

}  // namespace

TEST_CASE("VICReg step on every device: loss, terms and every gradient equal PyTorch's") {
  const char* record = "vicreg_step.json";
  for (Device device : devices()) {
    CAPTURE(name(device));
    VicregParts model;
    fill_by_formula(model);
    ParameterArena arena(model, device, DType::f32);
    const Tensor views = pixels(golden_text(record, "views"), 16, 16, device);
    const Tensor a = model.embed(views.slice(0, 8)), b = model.embed(views.slice(8, 16));
    const Tensor invariance = mean_squared(a, b), variance = scale(add(variance_hinge(a), variance_hinge(b)), 0.5);
    const Tensor covariance = add(covariance_loss(a), covariance_loss(b));
    const Tensor loss = add(add(scale(invariance, 25), scale(variance, 25)), covariance);
    loss.backward();
    const std::vector<double> terms = golden_values(record, "terms");
    CHECK(invariance.item() == doctest::Approx(terms[0]).epsilon(1e-5));
    CHECK(variance.item() == doctest::Approx(terms[1]).epsilon(1e-5));
    CHECK(covariance.item() == doctest::Approx(terms[2]).epsilon(1e-5));
    check_step(record, loss.item(), model);
  }
}

TEST_CASE("DINO step on every device: loss, every gradient of the student and the centre equal PyTorch's") {
  const char* record = "dino_step.json";
  std::vector<double> start = hash_uniform("centre", 24);
  for (double& c : start) c *= 0.1;
  for (Device device : devices()) {
    CAPTURE(name(device));
    DinoNetwork student, teacher;
    Named of_student("student", student), of_teacher("teacher", teacher);
    fill_by_formula(of_student);
    fill_by_formula(of_teacher);
    ParameterArena arena(of_student, device, DType::f32);
    move_to(of_teacher, device);
    Tensor centre = Tensor::from(start, {24}).to(DType::f32).to(device);
    const Tensor wide = pixels("global views", 8, 16, device), small = pixels("local views", 8, 8, device);
    Tensor targets;
    {
      const NoGrad no_grad;
      targets = teacher.head(teacher.encoder->forward(wide, true), true);
    }
    const Tensor features = concat(student.encoder->forward(wide, true), student.encoder->forward(small, true));
    const auto out = soft_cross_entropy(student.head(features, true), targets, 4, {.centre = centre});
    update_centre(centre, targets);
    out.loss.backward();
    check_step(record, out.loss.item(), of_student);
    const std::vector<double> health = golden_values(record, "entropy_and_kl");
    CHECK(out.target_entropy.item() == doctest::Approx(health[0]).epsilon(1e-4));
    CHECK(out.kl.item() == doctest::Approx(health[1]).epsilon(1e-5));
    check_values(centre, golden_values(record, "centre"), 1e-5);
  }
}

TEST_CASE("DINO's head gives the cosines of a weight-normalised layer, with PyTorch's gradient") {
  Random random(1);
  DinoHead head(6, {.bottleneck = 6, .out = 5, .layers = 1}, random);
  std::vector<NamedPart> all = parts(head);
  REQUIRE(all.size() == 3);
  CHECK(all[0].name == "mlp.0.weight");
  CHECK(all[2].name == "last_layer.weight");
  std::vector<float> identity(36, 0.0f);
  for (size_t i = 0; i < 6; ++i) identity[7 * i] = 1;
  all[0].tensor.copy_from(Tensor::from(std::span<const float>(identity), {6, 6}));
  all[2].tensor.copy_from(S({5, 6}, 0.6));
  const Tensor y = head(S({4, 6}, 0.3).to(DType::f32), true);
  check_values(y.slice(0, 1), golden_values("views.json", "weight_norm"), 1e-6);
  sum(multiply(y, S({4, 5}, 1.9).to(DType::f32))).backward();
  check_values(all[2].tensor.grad(), golden_values("views.json", "weight_norm_gradient"), 1e-5);
}

TEST_CASE("DINO's head with batch norm drops the biases before it") {
  Random random(1);
  DinoHead head(8, {.hidden = 12, .bottleneck = 6, .out = 5, .batch_norm = true}, random);
  std::string names;
  for (const NamedPart& p : parts(head))
    if (p.trained) names += p.name + " ";
  CHECK(names ==
        "mlp.0.weight mlp.1.weight mlp.2.weight mlp.2.bias norms.0.weight norms.0.bias norms.1.weight norms.1.bias "
        "last_layer.weight ");
  const Tensor y = head(S({4, 8}, 0.3).to(DType::f32), true);
  CHECK(y.shape() == Shape{4, 5});
  for (float cosine : y.values()) CHECK(std::abs(cosine) <= 1.0001f);
}

TEST_CASE("positions for another grid are PyTorch's bicubic ones") {
  const Tensor table = S({1, 10, 4}, 0.4);
  for (const auto& grid : {std::pair{2, 2}, {4, 5}, {7, 1}}) {
    const int64_t r = grid.first, c = grid.second;
    CAPTURE(r);
    const Tensor positions = interpolate_positions(table, r, c);
    CHECK(positions.shape() == Shape{1, 1 + r * c, 4});
    check_values(positions, positions_of(r, c), 1e-12);
  }
  check_values(interpolate_positions(table, 3, 3), table.values64(), 1e-12);
}

TEST_CASE("ViT on every device takes any size that the patch divides, and says so of others") {
  for (Device device : devices()) {
    CAPTURE(name(device));
    Random random(1);
    VisionTransformer vit(vit_shapes()[0], 16, 4, true, random);
    move_to(vit, device);
    const NoGrad no_grad;
    const auto features = [&](int64_t rows, int64_t columns) {
      const Tensor images = Tensor::full({2, rows, columns, 3}, 0.5).to(device);
      return vit.forward(images, false).values();
    };
    const std::vector<float> first = features(8, 12);
    CHECK(first.size() == 2 * 128);
    CHECK(features(16, 16).size() == 2 * 128);
    CHECK(features(24, 4).size() == 2 * 128);
    CHECK(features(8, 12) == first);
    CHECK_THROWS_WITH_AS(features(8, 10), doctest::Contains("multiples of 4"), Error);
  }
}

}  // namespace gestalt::test
