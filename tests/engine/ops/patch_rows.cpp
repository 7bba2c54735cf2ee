// Op table rows: patches and the masked reconstruction loss.
#include <cmath>

#include "engine/ops/masked_loss.h"
#include "engine/ops/patch.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

// Patches of 16 pixels in the benchmark's images, of 3 in the small ones.
int64_t side_of(const Tensor& images) { return images.dim(1) % 16 == 0 ? 16 : 3; }

// Distinct patches of each image, which a random draw does not give: `part` of all, one at least.
Tensor picks(const Tensor& images, double part) {
  const int64_t side = side_of(images), patches = images.dim(1) / side * (images.dim(2) / side), batch = images.dim(0);
  const auto count = static_cast<int64_t>(std::ceil(part * static_cast<double>(patches)));
  std::vector<int32_t> index;
  for (int64_t i = 0; i < batch * count; ++i)
    index.push_back(static_cast<int32_t>((i % count * 5 + i / count * 3) % patches));  // 5 shares no factor with 6, 196
  return Tensor::from(std::span<const int32_t>(index), {batch, count}).to(images.device());
}
// For 2 images of 6 patches.
Tensor picks(Device device) {
  const std::vector<int32_t> index{5, 0, 3, 2, 4, 1};
  return Tensor::from(std::span<const int32_t>(index), {2, 3}).to(device);
}

// For the benchmark: 64 images of 224 pixels, of whose patches MAE sees a quarter.
constexpr double pixel_count = 64.0 * 224 * 224 * 3;

Argument pixels(Shape shape) { return {shape, Argument::Kind::normal, 0, true, false}; }
Tensor zeros(Shape shape, DType dtype = DType::f32) { return Tensor::zeros(shape, dtype); }

const AddRows rows([](std::vector<OpRow>& t) {
  t.push_back({.name = "gather_patches",
               .inputs = {activation({2, 6, 9, 3})},
               .f = [](In x) -> Out { return {gather_patches(x[0], picks(x[0], 0.25), side_of(x[0]), x[0].dtype())}; },
               .bad = {[] {
                         gather_patches(zeros({2, 6, 8, 3}), {}, 3, DType::f32);
                       },
                       [] {
                         gather_patches(zeros({2, 6, 9, 3}), zeros({2, 3}), 3, DType::f32);
                       },
                       [] {
                         const Tensor beyond = Tensor::full({2, 3}, 6, DType::i32);
                         gather_patches(zeros({2, 6, 9, 3}), beyond, 3, DType::f32);
                       }},
               .bench_inputs = {activation({64, 224, 224, 3})},
               .bench_bytes = (2 * 0.25 + 0.25 + 1) * 4 * pixel_count,
               .bench_flops = 0.25 * pixel_count});
  t.push_back({.name = "gather_patches all", .inputs = {activation({3, 4, 6, 3})}, .f = [](In x) -> Out {
                 return {gather_patches(x[0], {}, 2, x[0].dtype())};
               }});
  // Rows of pixels that move in packs of 16 bytes, from the parameters' dtype to the activations'.
  t.push_back({.name = "gather_patches in packs",
               .inputs = {weights({2, 16, 24, 3}), {.shape = {1}, .differentiable = false}},
               .f = [](In x) -> Out { return {gather_patches(x[0], picks(x[0].device()), 8, x[1].dtype())}; }});
  t.push_back({.name = "gather_patches in packs of one dtype",
               .inputs = {activation({2, 16, 24, 3})},
               .f = [](In x) -> Out { return {gather_patches(x[0], picks(x[0].device()), 8, x[0].dtype())}; }});
  t.push_back({.name = "masked_loss",
               .inputs = {activation({2, 6, 27}), pixels({2, 6, 9, 3})},
               .f = [](In x) -> Out { return {masked_loss(x[0], x[1], picks(x[1], 0.75), side_of(x[1]), false)}; },
               .bad = {[] {
                         masked_loss(zeros({2, 6, 27}), zeros({2, 6, 8, 3}), picks(Device::cpu), 3, false);
                       },
                       [] {
                         masked_loss(zeros({2, 5, 27}), zeros({2, 6, 9, 3}), picks(Device::cpu), 3, false);
                       },
                       [] {
                         masked_loss(zeros({2, 6, 27}, DType::bf16), zeros({2, 6, 9, 3}, DType::bf16),
                                     picks(Device::cpu), 3, false);
                       },
                       [] {
                         masked_loss(zeros({2, 6, 27}), zeros({2, 6, 9, 3}), zeros({2, 0}, DType::i32), 3, false);
                       },
                       [] {
                         const Tensor beyond = Tensor::full({2, 3}, 6, DType::i32);
                         masked_loss(zeros({2, 6, 27}), zeros({2, 6, 9, 3}), beyond, 3, false);
                       }},
               .bench_inputs = {activation({64, 196, 768}), pixels({64, 224, 224, 3})},
               .bench_bytes = (4 * 0.75 + 1) * 4 * pixel_count,
               .bench_flops = 0.75 * 6 * pixel_count,
               .bench_fixed_bytes = 2 * 0.75 * 4 * pixel_count});
  t.push_back({.name = "masked_loss normalised",
               .inputs = {activation({2, 6, 27}), pixels({2, 6, 9, 3})},
               .f = [](In x) -> Out { return {masked_loss(x[0], x[1], picks(x[1], 0.75), side_of(x[1]), true)}; },
               .bench_inputs = {activation({64, 196, 768}), pixels({64, 224, 224, 3})},
               .bench_bytes = (4 * 0.75 + 1) * 4 * pixel_count,
               .bench_flops = 0.75 * 20 * pixel_count,
               .bench_fixed_bytes = 2 * 0.75 * 4 * pixel_count});
  // Patches that a warp of the CUDA form holds, that a block of it holds, and that it reads again for each use.
  for (const int64_t side : {8, 20, 19})
    t.push_back({.name = "masked_loss of side " + std::to_string(side),
                 .inputs = {activation({2, 6, side * side * 3}), pixels({2, 2 * side, 3 * side, 3})},
                 .f = [side](In x) -> Out { return {masked_loss(x[0], x[1], picks(x[0].device()), side, true)}; }});
});

}  // namespace
}  // namespace gestalt::test
