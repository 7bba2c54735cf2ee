// Op table rows: attention.
#include "engine/ops/attention.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

const AddRows rows([](std::vector<OpRow>& t) {
  const auto row = [&](const char* name, Shape qkv, bool causal) {
    t.push_back({.name = name,
                 .inputs = {activation(qkv)},
                 .f = [=](In x) -> Out { return {attention(x[0], causal)}; },
                 .bf16_tolerance = 3e-2,
                 .extreme = 100});  // scores of 10⁴; beyond, softmax is a choice of one and gradients round to 0
  };
  // Two products forward and four backward for each pair of positions that see each other; and qkv, y and lse forward,
  // those, dy and dqkv backward.
  const auto benchmark = [&](double batch, double length, double heads, double dim, double pairs) {
    const auto whole = [](double n) { return static_cast<int64_t>(n); };
    t.back().bench_inputs = {activation({whole(batch), whole(length), 3, whole(heads), whole(dim)})};
    t.back().bench_flops = 12 * batch * heads * pairs * dim;
    t.back().bench_bytes = 12 * 4 * batch * length * heads * dim;
  };
  row("attention", {2, 5, 3, 2, 17}, false);
  benchmark(16, 197, 6, 64, 197.0 * 197);
  row("attention causal", {2, 5, 3, 2, 17}, true);
  row("attention one token", {2, 1, 3, 3, 4}, true);
  row("attention two tiles", {1, 65, 3, 1, 33}, false);
  row("attention two tiles causal", {1, 65, 3, 1, 33}, true);
  row("attention wide heads causal", {1, 67, 3, 2, 96}, true);
  row("attention widest heads", {1, 67, 3, 1, 125}, false);
  row("attention many tiles causal", {1, 197, 3, 1, 64}, true);
  benchmark(16, 256, 6, 64, 256.0 * 257 / 2);
  const auto constant = [](Shape shape) { return Argument{.shape = shape, .differentiable = false}; };
  t.push_back(
      {.name = "cached_attention",
       .inputs = {constant({2, 5, 3, 2, 17}), constant({2, 3, 3, 2, 17})},  // a prompt and what follows
       .f = [](In x) -> Out {
         const int64_t prompt = x[0].dim(1), room = prompt + x[1].dim(1) + 1;
         Tensor cache = Tensor::zeros({x[0].dim(0), room, 2, x[0].dim(3), x[0].dim(4)}, x[0].dtype(), x[0].device());
         cached_attention(x[0], cache, 0);
         return {cached_attention(x[1], cache, prompt)};
       },
       .bf16_tolerance = 3e-2,
       .extreme = 100,
       .bad = {[] {
                 Tensor cache = Tensor::zeros({2, 4, 2, 2, 4});
                 cached_attention(Tensor::zeros({2, 2, 3, 2, 4}), cache, 3);
               },
               [] {
                 Tensor cache = Tensor::zeros({2, 4, 3, 2, 4});
                 cached_attention(Tensor::zeros({2, 2, 3, 2, 4}), cache, 0);
               },
               [] {
                 Tensor cache = Tensor::zeros({1, 4, 2, 2, 4});
                 cached_attention(Tensor::zeros({2, 2, 3, 2, 4}), cache, 0);
               },
               [] {
                 Tensor cache = Tensor::zeros({2, 4, 2, 2, 4});
                 cached_attention(Tensor::zeros({2, 2, 3, 2, 4}).require_grad(), cache, 0);
               }},
       .bench_inputs = {constant({8, 512, 3, 6, 64}), constant({8, 1, 3, 6, 64})},
       .bench_bytes = (4 + 2 + 2) * 4.0 * 8 * 512 * 6 * 64,
       .bench_flops = 4.0 * 8 * 6 * 64 * (512 * 513 / 2 + 513)});
  t[t.size() - 9].bad = {[] {
                           attention(Tensor::zeros({2, 5, 2, 2, 4}), false);
                         },
                         [] {
                           attention(Tensor::zeros({2, 5, 3, 4}), false);
                         },
                         [] {
                           attention(Tensor::zeros({2, 0, 3, 2, 4}), false);
                         }};
});

}  // namespace
}  // namespace gestalt::test
