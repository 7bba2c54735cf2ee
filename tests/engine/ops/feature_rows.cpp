// Op table rows: prediction in feature space.
#include "engine/ops/feature_loss.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Argument features(Shape shape) {
  Argument a = activation(shape);
  a.differentiable = false;
  return a;
}
Tensor zeros(Shape shape, DType dtype = DType::f32) { return Tensor::zeros(shape, dtype); }
Out loss_of(In x) { return {feature_loss(x[0], x[1], x[2])}; }

// For the benchmark: four blocks of 32 patches of 64 images in ViT-S.
constexpr double picked = 64.0 * 128 * 384;

const AddRows rows([](std::vector<OpRow>& t) {
  t.push_back({.name = "feature_loss",
               .inputs = {activation({2, 4, 17}), features({2, 6, 17}), indices({2, 4}, 6)},
               .f = loss_of,
               .bad = {[] {
                         feature_loss(zeros({2, 4, 8}), zeros({2, 6, 9}), zeros({2, 4}, DType::i32));
                       },
                       [] {
                         feature_loss(zeros({2, 4, 8}), zeros({3, 6, 8}), zeros({2, 4}, DType::i32));
                       },
                       [] {
                         feature_loss(zeros({2, 4, 8}), zeros({2, 6, 8}, DType::bf16), zeros({2, 4}, DType::i32));
                       },
                       [] {
                         feature_loss(zeros({2, 4, 8}), zeros({2, 6, 8}), zeros({2, 3}, DType::i32));
                       },
                       [] {
                         feature_loss(zeros({2, 4, 8}), zeros({2, 6, 8}), zeros({2, 4}));
                       },
                       [] {
                         feature_loss(zeros({2, 4, 8}), zeros({2, 6, 8}), Tensor::full({2, 4}, 6, DType::i32));
                       }},
               .bench_inputs = {activation({64, 128, 384}), features({64, 196, 384}), indices({64, 128}, 196)},
               .bench_bytes = 5 * 4 * picked,
               .bench_flops = 12 * picked});
  // Rows that a warp holds in packs of 16 bytes, that a block holds, and that a block reads again.
  t.push_back({.name = "feature_loss in packs",
               .inputs = {activation({2, 5, 48}), features({2, 3, 48}), indices({2, 5}, 3)},
               .f = loss_of});
  t.push_back({.name = "feature_loss wide",
               .inputs = {activation({1, 2, 1280}), features({1, 3, 1280}), indices({1, 2}, 3)},
               .f = loss_of});
  t.push_back({.name = "feature_loss wide, odd",
               .inputs = {activation({1, 2, 1281}), features({1, 3, 1281}), indices({1, 2}, 3)},
               .f = loss_of});
});

}  // namespace
}  // namespace gestalt::test
