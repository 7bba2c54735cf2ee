// Op table rows: batch normalisation and pooling.
#include "engine/ops/batch_norm.h"
#include "engine/ops/pool.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Tensor zeros(Shape shape) { return Tensor::zeros(shape); }

// x, gamma, beta and, with `residual`, a fourth input like x.
std::vector<Argument> norm_inputs(Shape x, bool residual) {
  const Shape c{x[-1]};
  std::vector<Argument> inputs{activation(x), weights(c), weights(c)};
  if (residual) inputs.push_back(activation(x));
  return inputs;
}

// batch_norm with running statistics of its own, so that a row is a pure function.
std::function<Out(In)> norm(bool relu, bool training) {
  return [=](In x) -> Out {
    Tensor mean = Tensor::full(x[1].shape(), 0.3, x[1].dtype(), x[1].device());
    Tensor var = Tensor::full(x[1].shape(), 1.7, x[1].dtype(), x[1].device());
    BatchNormOptions options{.relu = relu, .training = training};
    if (x.size() > 3) options.residual = x[3];
    return {batch_norm(x[0], x[1], x[2], mean, var, options)};
  };
}

const AddRows rows([](std::vector<OpRow>& t) {
  const auto bad = [](Shape x, Shape c) {
    return [=] { batch_norm(zeros(x), zeros(c), zeros(c), zeros(c), zeros(c)); };
  };
  t.push_back(
      {.name = "batch_norm",
       .inputs = norm_inputs({3, 4, 5, 17}, false),
       .f = norm(false, true),
       .bad = {bad({4, 3}, {4}), bad({1, 3}, {3}),
               [] {
                 batch_norm(zeros({4, 3}), zeros({3}), zeros({3}), zeros({3}), zeros({3}), {.residual = zeros({3, 4})});
               }},
       .bench_inputs = norm_inputs({64, 32, 32, 64}, false),
       .bench_bytes = 8.0 * 64 * 32 * 32 * 64 * 4,
       .bench_flops = 18.0 * 64 * 32 * 32 * 64});
  t.push_back({.name = "batch_norm relu", .inputs = norm_inputs({37, 16}, false), .f = norm(true, true)});
  t.push_back({.name = "batch_norm relu residual",
               .inputs = norm_inputs({7, 5, 5, 3}, true),
               .f = norm(true, true),
               .bench_inputs = norm_inputs({64, 8, 8, 512}, true),
               .bench_bytes = 12.0 * 64 * 8 * 8 * 512 * 4,
               .bench_flops = 21.0 * 64 * 8 * 8 * 512});
  t.push_back({.name = "batch_norm residual", .inputs = norm_inputs({5, 70}, true), .f = norm(false, true)});
  t.push_back({.name = "batch_norm many chunks", .inputs = norm_inputs({1300, 40}, false), .f = norm(true, true)});
  t.push_back({.name = "batch_norm wide", .inputs = norm_inputs({9, 2100}, true), .f = norm(true, true)});
  t.push_back({.name = "batch_norm two rows",
               .inputs = norm_inputs({2, 4}, false),
               .f = norm(false, true),
               .f32_tolerance = 2e-4,
               .bf16_tolerance = 0});
  t.push_back({.name = "batch_norm evaluation", .inputs = norm_inputs({1, 17}, true), .f = norm(true, false)});
  t.push_back({.name = "max_pool2d",
               .inputs = {activation({2, 7, 6, 3})},
               .f = [](In x) -> Out { return {max_pool2d(x[0], 3, 2, 1)}; },
               .bad = {[] {
                         max_pool2d(zeros({1, 4, 4}), 2, 2);
                       },
                       [] {
                         max_pool2d(zeros({1, 1, 1, 3}), 2, 2);
                       },
                       [] {
                         max_pool2d(zeros({1, 4, 4, 3}), 2, 2, 2);
                       }},
               .bench_inputs = {activation({32, 56, 56, 64})},
               .bench_bytes = 2.5 * 32 * 56 * 56 * 64 * 4,
               .bench_flops = 10.0 * 32 * 28 * 28 * 64});
  t.push_back({.name = "max_pool2d 2x2", .inputs = {activation({1, 5, 4, 70})}, .f = [](In x) -> Out {
                 return {max_pool2d(x[0], 2, 2)};
               }});
  t.push_back({.name = "average_pool2d",
               .inputs = {activation({2, 7, 6, 17})},
               .f = [](In x) -> Out { return {average_pool2d(x[0], 3, 2, 1)}; },
               .bad = {[] {
                 average_pool2d(zeros({1, 4, 4, 3}), 2, 0);
               }},
               .bench_inputs = {activation({32, 56, 56, 64})},
               .bench_bytes = 2.5 * 32 * 56 * 56 * 64 * 4,
               .bench_flops = 20.0 * 32 * 28 * 28 * 64});
  t.push_back({.name = "global_average_pool",
               .inputs = {activation({3, 5, 4, 70})},
               .f = [](In x) -> Out { return {global_average_pool(x[0])}; },
               .bad = {[] {
                 global_average_pool(zeros({3, 4}));
               }},
               .bench_inputs = {activation({256, 7, 7, 512})},
               .bench_bytes = 2.0 * 256 * 49 * 512 * 4,
               .bench_flops = 2.0 * 256 * 49 * 512});
  // Channels that move sixteen bytes at a time on CUDA.
  t.push_back({.name = "max_pool2d 16 channels", .inputs = {activation({2, 5, 4, 16})}, .f = [](In x) -> Out {
                 return {max_pool2d(x[0], 3, 2, 1)};
               }});
  t.push_back({.name = "average_pool2d 16 channels", .inputs = {activation({1, 5, 4, 16})}, .f = [](In x) -> Out {
                 return {average_pool2d(x[0], 2, 1)};
               }});
  t.push_back({.name = "global_average_pool 64 channels", .inputs = {activation({3, 5, 9, 64})}, .f = [](In x) -> Out {
                 return {global_average_pool(x[0])};
               }});
});

}  // namespace
}  // namespace gestalt::test
