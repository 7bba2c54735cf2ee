// Heads and positions against PyTorch, and ViTs of any size and their layers.
#include <doctest/doctest.h>

#include "engine/nn/optimizer.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "models/vit.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/method_goldens.h"

namespace gestalt::test {
namespace {

std::vector<double> positions_of(int64_t rows, int64_t columns) {
  return golden_values("views.json", "positions_" + std::to_string(rows) + "x" + std::to_string(columns));
}

}  // namespace

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
    VisionTransformer vit(vit_shapes()[0], 16, 4, ClassToken::pooled, random);
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

TEST_CASE("layer-wise rates: nothing decays above the blocks, the patch embedding most") {
  Random random(1);
  VisionTransformer vit({"", "", 32, 3, 2}, 16, 4, ClassToken::unpooled, random);
  CHECK(vit.layers() - vit.layer_of("norm.weight") == 0);
  CHECK(vit.layers() - vit.layer_of("blocks.2.mlp.fc1.weight") == 1);
  CHECK(vit.layers() - vit.layer_of("blocks.0.norm1.bias") == 3);
  CHECK(vit.layers() - vit.layer_of("patch_embed.proj.weight") == 4);
  CHECK(vit.layers() - vit.layer_of("cls_token") == 4);
  ParameterArena arena(vit, Device::cpu, DType::f32);
  arena.factors([](const std::string& part) -> PartFactors { return {.rate = part.starts_with("norm") ? 0.25 : 0.0}; });
  arena.grads.fill(1);
  const std::vector<float> before = arena.weights.values();
  Optimizer(arena, {.kind = "sgd", .momentum = 0, .decay = 0}).step(0.5, 0);
  const std::vector<float> after = arena.weights.values();
  for (size_t s = 0; s < arena.layout.size(); ++s)
    for (int64_t i = arena.layout[s].begin; i < arena.layout[s].end; ++i)
      CHECK(before[i] - after[i] == doctest::Approx(arena.names[s].starts_with("norm") ? 0.125 : 0.0));
}

}  // namespace gestalt::test
