// Op table rows: contrast against many negatives.
#include "engine/ops/info_nce.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Tensor zeros(const Shape& shape) { return Tensor::zeros(shape); }
Argument constant(Shape shape) { return {.shape = shape, .differentiable = false}; }
Argument queue(Shape shape) { return {.shape = shape, .parameter = true, .differentiable = false}; }

const AddRows rows([](std::vector<OpRow>& t) {
  t.push_back({.name = "info_nce",
               .inputs = {activation({6, 9}), activation({6, 9}), queue({11, 9})},
               .f = [](In x) -> Out { return {info_nce(x[0], x[1], {.temperature = 0.3, .negatives = x[2]}).loss}; },
               .bad = {[] {
                         info_nce(zeros({3, 4}), zeros({4, 4}), {});
                       },
                       [] {
                         info_nce(zeros({1, 4}), zeros({1, 4}), {});
                       },
                       [] {
                         info_nce(zeros({3, 4}), zeros({3, 4}), {.batch_negatives = false});
                       },
                       [] {
                         info_nce(zeros({3, 4}), zeros({3, 4}), {.negatives = zeros({5, 3})});
                       },
                       [] {
                         info_nce(zeros({3, 4}), zeros({3, 4}), {.temperature = 0.01});
                       }},
               .bench_inputs = {activation({256, 128}), constant({256, 128}), queue({65536, 128})},
               .bench_bytes = 65536 * 128 * 4 + 5.0 * 256 * 128 * 4,
               .bench_flops = 4.0 * 256 * (65536 + 256) * 128,
               .bench_fixed_bytes = 65536 * 128 * 4});
  t.push_back({.name = "info_nce of a queue alone",
               .inputs = {activation({6, 9}), activation({6, 9}), queue({300, 9})},
               .f = [](In x) -> Out {
                 return {info_nce(x[0], x[1], {.temperature = 0.2, .negatives = x[2], .batch_negatives = false}).loss};
               }});
  // Several of CUDA's blocks of rows, several parts of the columns, each width that it is compiled for.
  t.push_back({.name = "info_nce of a batch",
               .inputs = {activation({150, 70}), activation({150, 70})},
               .f = [](In x) -> Out { return {info_nce(x[0], x[1], {.temperature = 0.2}).loss}; }});
  t.push_back({.name = "info_nce wide, of still keys",
               .inputs = {activation({70, 200}), constant({70, 200}), queue({90, 200})},
               .f = [](In x) -> Out { return {info_nce(x[0], x[1], {.temperature = 0.1, .negatives = x[2]}).loss}; }});
  t.push_back({.name = "info_nce of more rows than negatives",
               .inputs = {activation({200, 6}), activation({200, 6}), queue({5, 6})},
               .f = [](In x) -> Out {
                 return {info_nce(x[0], x[1], {.temperature = 0.2, .negatives = x[2], .batch_negatives = false}).loss};
               }});
  t.push_back({.name = "info_nce of still queries, wide",
               .inputs = {constant({66, 300}), activation({66, 300})},
               .f = [](In x) -> Out { return {info_nce(x[0], x[1], {.temperature = 0.1}).loss}; }});

  t.push_back({.name = "pair_contrast decoupled",
               .inputs = {activation({10, 7})},
               .f = [](In x) -> Out { return {pair_contrast(x[0], {.decoupled = true}).loss}; },
               .bad = {[] {
                         pair_contrast(zeros({2, 4}), {});
                       },
                       [] {
                         pair_contrast(zeros({5, 4}), {});
                       },
                       [] {
                         pair_contrast(zeros({4, 4}), {.beta = -1});
                       },
                       [] {
                         pair_contrast(zeros({4, 4}), {.tau_plus = 1});
                       },
                       [] {
                         pair_contrast(zeros({4, 4}), {.decoupled = true, .beta = 1});
                       },
                       [] {
                         pair_contrast(zeros({4, 4}), {.weight_temperature = 1});
                       },
                       [] {
                         pair_contrast(zeros({4, 4}), {.temperature = 0.05, .beta = 2});
                       },
                       [] {
                         pair_contrast(zeros({4, 4}), {.labels = zeros({4})});
                       }},
               .bench_inputs = {activation({4096, 128})},
               .bench_bytes = 3.0 * 4096 * 128 * 4,
               .bench_flops = 6.0 * 4096 * 4096 * 128});
  t.push_back({.name = "pair_contrast decoupled, of several blocks",
               .inputs = {activation({230, 20})},
               .f = [](In x) -> Out { return {pair_contrast(x[0], {.temperature = 0.1, .decoupled = true}).loss}; }});
  for (const int64_t count : {10, 140})
    t.push_back({.name = "pair_contrast hard, of " + std::to_string(count),
                 .inputs = {activation({count, 33})},
                 .f = [](In x) -> Out {
                   return {pair_contrast(x[0], {.temperature = 0.5, .beta = 1, .tau_plus = 0.1}).loss};
                 }});
  for (const int64_t count : {12, 150})
    t.push_back({.name = "pair_contrast labelled, of " + std::to_string(count),
                 .inputs = {activation({count, 21}), indices({count / 2}, 4)},
                 .f = [](In x) -> Out { return {pair_contrast(x[0], {.temperature = 0.2, .labels = x[1]}).loss}; }});
});

}  // namespace
}  // namespace gestalt::test
