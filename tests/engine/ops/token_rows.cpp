// Op table rows: embeddings, gathers and scatters of tokens, joins, and the token cross-entropy.
#include "engine/ops/cross_entropy.h"
#include "engine/ops/tokens.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Tensor zeros(Shape shape) { return Tensor::zeros(shape); }
Tensor positions(Shape shape, int value = 0) { return Tensor::full(shape, value, DType::i32); }

// Distinct positions below `length` for the tokens of `x`, which a random draw does not give.
Tensor picks(const Tensor& x, int64_t length) {
  const int64_t count = x.dim(1);
  std::vector<int32_t> index;
  for (int64_t i = 0; i < x.dim(0) * count; ++i)
    index.push_back(static_cast<int32_t>((i % count * 5 + i / count * 3) % length));  // 5 shares no factor with 7, 101
  return Tensor::from(std::span<const int32_t>(index), {x.dim(0), count}).to(x.device());
}

// For the benchmark: the tokens of 64 images in ViT-S, and those of 50 patches of each.
constexpr double token_count = 64.0 * 197 * 384, visible_count = 64.0 * 50 * 384;

const AddRows rows([](std::vector<OpRow>& t) {
  t.push_back({.name = "embedding",
               .inputs = {weights({11, 17}), indices({3, 9}, 11)},
               .f = [](In x) -> Out { return {embedding(x[0], x[1])}; },
               .bf16_tolerance = 2e-5,
               .bad = {[] { embedding(zeros({4}), positions({2})); },
                       [] {
                         embedding(zeros({4, 3}), zeros({2}));
                       }},
               .bench_inputs = {weights({50304, 128}), indices({16, 1024}, 50304)},
               .bench_bytes = (3 * 16.0 * 1024 + 50304) * 128 * 4,
               .bench_flops = 16.0 * 1024 * 128});
  t.push_back({.name = "gather_rows",
               .inputs = {activation({3, 5, 33}), indices({3, 4}, 5)},
               .f = [](In x) -> Out { return {gather_rows(x[0], x[1])}; },
               .bad = {[] {
                         gather_rows(zeros({2, 3}), positions({2, 1}));
                       },
                       [] {
                         gather_rows(zeros({2, 3, 4}), positions({3, 1}));
                       }},
               .bench_inputs = {activation({64, 197, 384}), indices({64, 50}, 197)},
               .bench_bytes = 4 * (3 * visible_count + token_count),
               .bench_flops = visible_count});
  t.push_back({.name = "scatter_tokens",
               .inputs = {activation({2, 3, 17}), weights({17})},
               .f = [](In x) -> Out {
                 const int64_t length = 2 * x[0].dim(1) + 1;
                 return {scatter_tokens(x[0], picks(x[0], length), x[1], length)};
               },
               .bad = {[] {
                         scatter_tokens(zeros({2, 3, 4}), positions({2, 3}), zeros({5}), 7);
                       },
                       [] {
                         scatter_tokens(zeros({2, 3, 4}), positions({2, 3}), zeros({4}), 2);
                       },
                       [] {
                         scatter_tokens(zeros({2, 3, 4}), positions({2, 3}, 7), zeros({4}), 7);
                       }},
               .bench_inputs = {activation({64, 50, 384}), weights({384})},
               .bench_bytes = 4 * (2 + 2 * 101.0 / 50) * visible_count,
               .bench_flops = visible_count});
  t.push_back({.name = "replace_tokens",
               .inputs = {activation({2, 5, 17}), indices({2, 5}, 2), weights({17})},
               .f = [](In x) -> Out { return {replace_tokens(x[0], x[1], x[2])}; },
               .bad = {[] {
                         replace_tokens(zeros({2, 3, 4}), positions({2, 4}), zeros({4}));
                       },
                       [] {
                         replace_tokens(zeros({2, 3, 4}), zeros({2, 3}), zeros({4}));
                       },
                       [] {
                         replace_tokens(zeros({2, 3, 4}), positions({2, 3}), zeros({5}));
                       }},
               .bench_inputs = {activation({64, 196, 384}), indices({64, 196}, 2), weights({384})},
               .bench_bytes = 6 * 4 * token_count,
               .bench_flops = token_count});
  t.push_back({.name = "replace_tokens 16 columns",
               .inputs = {activation({2, 5, 16}), indices({2, 5}, 2), weights({16})},
               .f = [](In x) -> Out { return {replace_tokens(x[0], x[1], x[2])}; }});
  t.push_back({.name = "concat",
               .inputs = {activation({3, 5}), activation({1, 5})},
               .f = [](In x) -> Out {
                 return {concat(x[0], x[1]), concat(x[1], x[0])};
               },
               .bad = {[] {
                 concat(zeros({2, 3}), zeros({2, 4}));
               }},
               .bench_inputs = {activation({4096, 384}), activation({8192, 384})},
               .bench_bytes = 7 * 4.0 * 12288 * 384,
               .bench_flops = 12288.0 * 384});
  t.push_back({.name = "prepend_token",
               .inputs = {activation({3, 4, 17}), weights({17})},
               .f = [](In x) -> Out { return {prepend_token(x[0], x[1])}; },
               .bad = {[] {
                         prepend_token(zeros({3, 4}), zeros({4}));
                       },
                       [] {
                         prepend_token(zeros({3, 4, 5}), zeros({4}));
                       }},
               .bench_inputs = {activation({64, 196, 384}), weights({384})},
               .bench_bytes = 4 * 4 * token_count,
               .bench_flops = 64.0 * 384});
  t.push_back({.name = "slice_tokens",
               .inputs = {activation({3, 5, 4})},
               .f = [](In x) -> Out {
                 return {slice_tokens(x[0], 0, 1), slice_tokens(x[0], 1, x[0].dim(1))};
               },
               .bad = {[] {
                 slice_tokens(zeros({3, 5, 4}), 2, 6);
               }},
               .bench_inputs = {activation({64, 197, 384})},
               .bench_bytes = 4 * 4 * token_count,
               .bench_flops = token_count});
  t.push_back({.name = "cross_entropy",
               .inputs = {activation({2, 5, 17}), indices({2, 5}, 17)},
               .f = [](In x) -> Out { return {cross_entropy(x[0], x[1])}; },
               .bad = {[] {
                         cross_entropy(zeros({2, 3}), positions({3}));
                       },
                       [] {
                         cross_entropy(zeros({2, 3}), positions({2}, 3));
                       },
                       [] {
                         cross_entropy(zeros({2, 3}), positions({2}), {.label_smoothing = 2});
                       }},
               .bench_inputs = {activation({256, 50304}), indices({256}, 50304)},
               .bench_bytes = 3.0 * 256 * 50304 * 4,
               .bench_flops = 7.0 * 256 * 50304});
  t.push_back(
      {.name = "cross_entropy ignored and smoothed",
       .inputs = {activation({12, 3}), indices({12}, 3)},
       .f = [](In x) -> Out { return {cross_entropy(x[0], x[1], {.ignore_index = 1, .label_smoothing = 0.2})}; }});
  t.push_back({.name = "cross_entropy many classes",
               .inputs = {activation({2, 2500}), indices({2}, 2500)},
               .f = [](In x) -> Out { return {cross_entropy(x[0], x[1])}; }});
  // Columns that move sixteen bytes at a time on CUDA, and table rows that many tokens share.
  t.push_back({.name = "embedding shared",
               .inputs = {weights({5, 24}), indices({80}, 5)},
               .f = [](In x) -> Out { return {embedding(x[0], x[1])}; },
               .bf16_tolerance = 2e-5});
  t.push_back({.name = "gather_rows 16 columns",
               .inputs = {activation({2, 5, 16}), indices({2, 40}, 5)},
               .f = [](In x) -> Out { return {gather_rows(x[0], x[1])}; }});
  t.push_back({.name = "scatter_tokens 16 columns",
               .inputs = {activation({2, 3, 16}), weights({16})},
               .f = [](In x) -> Out { return {scatter_tokens(x[0], picks(x[0], 100), x[1], 100)}; }});
  t.push_back({.name = "prepend_token 16 columns",
               .inputs = {activation({3, 4, 16}), weights({16})},
               .f = [](In x) -> Out { return {prepend_token(x[0], x[1])}; }});
});

}  // namespace
}  // namespace gestalt::test
