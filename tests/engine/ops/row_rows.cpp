// Op table rows: layer norm, softmax, unit length and dropout.
#include "engine/ops/rows.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Tensor zeros(Shape shape) { return Tensor::zeros(shape); }

// For the benchmark: the tokens of 64 images in ViT-S, and the logits of 4,096 images in 1,000 classes.
const Shape tokens{64, 197, 384};
constexpr double token_count = 64.0 * 197 * 384, logit_count = 4096.0 * 1000;

const AddRows rows([](std::vector<OpRow>& t) {
  const auto norm = [](In x) -> Out { return {layer_norm(x[0], x[1], x[2])}; };
  const auto residual_norm = [](In x) -> Out {
    const SumAndNorm r = residual_layer_norm(x[0], x[1], x[2], x[3]);
    return {r.sum, r.normalized};
  };
  t.push_back({.name = "layer_norm",
               .inputs = {activation({2, 5, 17}), weights({17}), weights({17})},
               .f = norm,
               .bad = {[] {
                         layer_norm(zeros({2, 3}), zeros({4}), zeros({3}));
                       },
                       [] {
                         layer_norm(zeros({2, 0}), zeros({0}), zeros({0}));
                       }},
               .bench_inputs = {activation(tokens), weights({384}), weights({384})},
               .bench_bytes = 5 * 4 * token_count,
               .bench_flops = 22 * token_count});
  t.push_back({.name = "layer_norm one row", .inputs = {activation({70}), weights({70}), weights({70})}, .f = norm});
  t.push_back(
      {.name = "layer_norm many rows", .inputs = {activation({1200, 3}), weights({3}), weights({3})}, .f = norm});
  t.push_back({.name = "residual_layer_norm",
               .inputs = {activation({3, 4, 33}), activation({3, 4, 33}), weights({33}), weights({33})},
               .f = residual_norm,
               .bad = {[] {
                 residual_layer_norm(zeros({2, 3}), zeros({3, 2}), zeros({3}), zeros({3}));
               }},
               .bench_inputs = {activation(tokens), activation(tokens), weights({384}), weights({384})},
               .bench_bytes = 8 * 4 * token_count,
               .bench_flops = 24 * token_count});
  t.push_back({.name = "residual_layer_norm normalized alone",
               .inputs = {activation({4, 8}), activation({4, 8}), weights({8}), weights({8})},
               .f = [](In x) -> Out { return {residual_layer_norm(x[0], x[1], x[2], x[3]).normalized}; }});
  t.push_back({.name = "softmax",
               .inputs = {activation({2, 3, 65})},
               .f = [](In x) -> Out { return {softmax(x[0])}; },
               .bad = {[] {
                 softmax(zeros({2, 0}));
               }},
               .bench_inputs = {activation({4096, 1000})},
               .bench_bytes = 5 * 4 * logit_count,
               .bench_flops = 9 * logit_count});
  t.push_back(
      {.name = "softmax one column", .inputs = {activation({5, 1})}, .f = [](In x) -> Out { return {softmax(x[0])}; }});
  t.push_back({.name = "log_softmax",
               .inputs = {activation({7, 17})},
               .f = [](In x) -> Out { return {log_softmax(x[0])}; },
               .bad = {[] {
                 log_softmax(zeros({2, 0}));
               }},
               .bench_inputs = {activation({4096, 1000})},
               .bench_bytes = 5 * 4 * logit_count,
               .bench_flops = 9 * logit_count});
  t.push_back({.name = "normalize",
               .inputs = {activation({2, 5, 17})},
               .f = [](In x) -> Out { return {normalize(x[0])}; },
               .bad = {[] {
                 normalize(zeros({2, 3}), 0);
               }},
               .bench_inputs = {activation({16384, 256})},
               .bench_bytes = 5.0 * 4 * 16384 * 256,
               .bench_flops = 7.0 * 16384 * 256});
  t.push_back({.name = "normalize below eps", .inputs = {activation({4, 3})}, .f = [](In x) -> Out {
                 return {normalize(x[0], 100)};
               }});
  t.push_back({.name = "dropout",
               .inputs = {activation({5, 7})},
               .f = [](In x) -> Out { return {dropout(x[0], 0.4, 1, 2, 3)}; },
               .bad = {[] { dropout(zeros({2}), 1, 0, 0, 0); }, [] { dropout(zeros({2}), -0.1, 0, 0, 0); }},
               .bench_inputs = {activation(tokens)},
               .bench_bytes = 4 * 4 * token_count,
               .bench_flops = 2 * token_count});
  // Widths that CUDA lays over its threads in different ways.
  for (int64_t columns : {768, 1501, 2048, 8200})
    t.push_back({.name = "layer_norm of " + std::to_string(columns),
                 .inputs = {activation({20, columns}), weights({columns}), weights({columns})},
                 .f = norm});
  for (int64_t columns : {128, 1501, 2048, 8200}) {
    t.push_back({.name = "softmax of " + std::to_string(columns),
                 .inputs = {activation({3, columns})},
                 .f = [](In x) -> Out { return {softmax(x[0])}; }});
    t.push_back({.name = "normalize of " + std::to_string(columns),
                 .inputs = {activation({3, columns})},
                 .f = [](In x) -> Out { return {normalize(x[0])}; }});
  }
});

}  // namespace
}  // namespace gestalt::test
