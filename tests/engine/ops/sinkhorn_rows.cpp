// Op table rows: assignments by Sinkhorn's algorithm.
#include "engine/ops/sinkhorn.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Argument constant(Shape shape) { return {.shape = shape, .differentiable = false}; }
Argument constant_weights(Shape shape) { return {.shape = shape, .parameter = true, .differentiable = false}; }

const AddRows rows([](std::vector<OpRow>& t) {
  // bf16 holds a score to 0.4 %, which exp(score / epsilon) makes 8 % of at the usual epsilon of 0.05.
  t.push_back({.name = "sinkhorn",
               .inputs = {constant({37, 11}), constant_weights({18, 11})},
               .f = [](In x) -> Out { return {sinkhorn(x[0], {.epsilon = 1, .extra = x[1]}).rows}; },
               .bad = {[] { sinkhorn(Tensor::zeros({3})); },
                       [] {
                         sinkhorn(Tensor::zeros({3, 4}), {.epsilon = 0});
                       },
                       [] {
                         sinkhorn(Tensor::zeros({3, 4}), {.rounds = -1});
                       },
                       [] {
                         sinkhorn(Tensor::zeros({3, 4}), {.extra = Tensor::zeros({3, 3})});
                       },
                       [] {
                         sinkhorn(Tensor::zeros({3, 4}), {.extra = Tensor::zeros({3, 4}, DType::bf16)});
                       }},
               .bench_inputs = {constant({256, 3000}), constant_weights({3840, 3000})},
               .bench_bytes = (3.0 * 4096 + 2.0 * 256) * 3000 * 4,
               .bench_flops = 4096.0 * 3000 * 3 * 12,
               .bench_fixed_bytes = (3.0 * 3840 + 256) * 3000 * 4});
  t.push_back({.name = "sinkhorn of many classes", .inputs = {constant({19, 1203})}, .f = [](In x) -> Out {
                 return {sinkhorn(x[0], {.epsilon = 1, .rounds = 5}).rows};
               }});
  t.push_back({.name = "sinkhorn sharp",
               .inputs = {constant({33, 40}), constant_weights({7, 40})},
               .f = [](In x) -> Out { return {sinkhorn(x[0], {.extra = x[1], .use_extra = 0}).rows}; },
               .f32_tolerance = 1e-4,
               .bf16_tolerance = 0});
  t.push_back({.name = "sinkhorn without a round", .inputs = {constant({5, 9})}, .f = [](In x) -> Out {
                 return {sinkhorn(x[0], {.epsilon = 1, .rounds = 0}).rows};
               }});
});

}  // namespace
}  // namespace gestalt::test
