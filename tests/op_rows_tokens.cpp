// Op table rows: embeddings, gathers and scatters of tokens, joins, and the token cross-entropy.
#include "engine/ops/cross_entropy.h"
#include "engine/ops/tokens.h"
#include "tests/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Tensor zeros(Shape shape) { return Tensor::zeros(shape); }
Tensor positions(Shape shape, int value = 0) { return Tensor::full(shape, value, DType::i32); }

// Distinct positions for scatter_tokens, which a random draw does not give.
Tensor picks() {
  const std::vector<int32_t> index{6, 0, 3, 1, 2, 5};
  return Tensor::from(std::span<const int32_t>(index), {2, 3});
}

const AddRows rows([](std::vector<OpRow>& t) {
  t.push_back({.name = "embedding",
               .inputs = {weights({11, 17}), indices({3, 9}, 11)},
               .f = [](In x) -> Out { return {embedding(x[0], x[1])}; },
               .bf16_tolerance = 2e-5,
               .bad = {[] { embedding(zeros({4}), positions({2})); },
                       [] {
                         embedding(zeros({4, 3}), zeros({2}));
                       }}});
  t.push_back({.name = "gather_rows",
               .inputs = {activation({3, 5, 33}), indices({3, 4}, 5)},
               .f = [](In x) -> Out { return {gather_rows(x[0], x[1])}; },
               .bad = {[] {
                         gather_rows(zeros({2, 3}), positions({2, 1}));
                       },
                       [] {
                         gather_rows(zeros({2, 3, 4}), positions({3, 1}));
                       }}});
  t.push_back({.name = "scatter_tokens",
               .inputs = {activation({2, 3, 17}), weights({17})},
               .f = [](In x) -> Out { return {scatter_tokens(x[0], picks().to(x[0].device()), x[1], 7)}; },
               .bad = {[] {
                         scatter_tokens(zeros({2, 3, 4}), positions({2, 3}), zeros({5}), 7);
                       },
                       [] {
                         scatter_tokens(zeros({2, 3, 4}), positions({2, 3}), zeros({4}), 2);
                       },
                       [] {
                         scatter_tokens(zeros({2, 3, 4}), positions({2, 3}, 7), zeros({4}), 7);
                       }}});
  t.push_back({.name = "concat",
               .inputs = {activation({3, 5}), activation({1, 5})},
               .f = [](In x) -> Out {
                 return {concat(x[0], x[1]), concat(x[1], x[0])};
               },
               .bad = {[] {
                 concat(zeros({2, 3}), zeros({2, 4}));
               }}});
  t.push_back({.name = "prepend_token",
               .inputs = {activation({3, 4, 17}), weights({17})},
               .f = [](In x) -> Out { return {prepend_token(x[0], x[1])}; },
               .bad = {[] {
                         prepend_token(zeros({3, 4}), zeros({4}));
                       },
                       [] {
                         prepend_token(zeros({3, 4, 5}), zeros({4}));
                       }}});
  t.push_back({.name = "slice_tokens",
               .inputs = {activation({3, 5, 4})},
               .f = [](In x) -> Out {
                 return {slice_tokens(x[0], 0, 1), slice_tokens(x[0], 1, 5)};
               },
               .bad = {[] {
                 slice_tokens(zeros({3, 5, 4}), 2, 6);
               }}});
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
               .bench_inputs = {activation({512, 50304}), indices({512}, 50304)},
               .bench_bytes = 3.0 * 512 * 50304 * 4});
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
               .f = [](In x) -> Out { return {scatter_tokens(x[0], picks().to(x[0].device()), x[1], 100)}; }});
  t.push_back({.name = "prepend_token 16 columns",
               .inputs = {activation({3, 4, 16}), weights({16})},
               .f = [](In x) -> Out { return {prepend_token(x[0], x[1])}; }});
});

}  // namespace
}  // namespace gestalt::test
