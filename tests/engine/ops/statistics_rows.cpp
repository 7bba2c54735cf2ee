// Op table rows: losses on a batch's statistics, and cross-entropy against soft targets.
#include "engine/ops/covariance.h"
#include "engine/ops/rows.h"
#include "engine/ops/sigreg.h"
#include "engine/ops/soft_cross_entropy.h"
#include "engine/ops/whitening.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Tensor zeros(const Shape& shape) { return Tensor::zeros(shape); }
Argument constant(Shape shape) { return {.shape = shape, .differentiable = false}; }
Argument constant_weights(Shape shape) { return {.shape = shape, .parameter = true, .differentiable = false}; }

const AddRows statistics([](std::vector<OpRow>& t) {
  t.push_back({.name = "mean_squared",
               .inputs = {activation({6, 9}), activation({6, 9})},
               .f = [](In x) -> Out { return {mean_squared(x[0], x[1])}; },
               .bad = {[] {
                         mean_squared(zeros({3, 4}), zeros({4, 3}));
                       },
                       [] { mean_squared(zeros({3}), Tensor::zeros({3}, DType::bf16)); }},
               .bench_inputs = {activation({2048, 2048}), activation({2048, 2048})},
               .bench_bytes = 6.0 * 2048 * 2048 * 4,
               .bench_flops = 7.0 * 2048 * 2048});
  t.push_back({.name = "mean_squared of several chunks, a detached target",
               .inputs = {activation({130, 150}), constant({130, 150})},
               .f = [](In x) -> Out { return {mean_squared(x[0], x[1])}; }});
  t.push_back({.name = "view_distance",
               .inputs = {activation({12, 9})},
               .f = [](In x) -> Out { return {view_distance(x[0], 4, 2)}; },
               .bad = {[] {
                         view_distance(zeros({5, 4}), 2, 1);
                       },
                       [] {
                         view_distance(zeros({4, 4}), 2, 3);
                       },
                       [] {
                         view_distance(zeros({4, 4}), 2, 0);
                       }},
               .bench_inputs = {activation({8 * 256, 2048})},
               .bench_bytes = 3.0 * 8 * 256 * 2048 * 4,
               .bench_flops = 8.0 * 8 * 256 * 2048});
  t.push_back({.name = "view_distance of several chunks, all views the centre",
               .inputs = {activation({390, 150})},
               .f = [](In x) -> Out { return {view_distance(x[0], 3, 3)}; }});
  t.push_back({.name = "variance_hinge",
               .inputs = {activation({9, 70})},
               .f = [](In x) -> Out { return {variance_hinge(x[0])}; },
               .bad = {[] {
                         variance_hinge(zeros({1, 4}));
                       },
                       [] { variance_hinge(zeros({4})); },
                       [] {
                         variance_hinge(zeros({3, 4}), 1, 0);
                       }},
               .bench_inputs = {activation({2048, 2048})},
               .bench_bytes = 4.0 * 2048 * 2048 * 4,
               .bench_flops = 7.0 * 2048 * 2048});
  t.push_back({.name = "variance_hinge of few columns", .inputs = {activation({40, 5})}, .f = [](In x) -> Out {
                 return {variance_hinge(x[0], 1.05)};
               }});
  t.push_back({.name = "covariance_loss",
               .inputs = {activation({9, 7})},
               .f = [](In x) -> Out { return {covariance_loss(x[0])}; },
               .bad = {[] {
                         covariance_loss(zeros({1, 4}));
                       },
                       [] { covariance_loss(zeros({4})); }},
               .bench_inputs = {activation({2048, 2048})},
               .bench_bytes = 10.0 * 2048 * 2048 * 4,
               .bench_flops = 4.0 * 2048 * 2048 * 2048});
  t.push_back({.name = "cross_correlation",
               .inputs = {activation({9, 7}), activation({9, 7})},
               .f = [](In x) -> Out { return {cross_correlation(x[0], x[1], 0.3).loss}; },
               .bad = {[] {
                         cross_correlation(zeros({1, 4}), zeros({1, 4}), 1);
                       },
                       [] {
                         cross_correlation(zeros({4, 3}), zeros({4, 4}), 1);
                       },
                       [] {
                         cross_correlation(zeros({4, 4}), Tensor::zeros({4, 4}, DType::bf16), 1);
                       }},
               .bench_inputs = {activation({2048, 2048}), activation({2048, 2048})},
               .bench_bytes = 9.0 * 2048 * 2048 * 4,
               .bench_flops = 6.0 * 2048 * 2048 * 2048});
  t.push_back({.name = "cross_correlation wide, with a detached side",
               .inputs = {activation({12, 300}), constant({12, 300})},
               .f = [](In x) -> Out { return {cross_correlation(x[0], x[1], 0.01).loss}; }});
  t.push_back({.name = "covariance_loss wide", .inputs = {activation({12, 70})}, .f = [](In x) -> Out {
                 return {covariance_loss(x[0])};
               }});
});

// A multiply-add counts as two: 6 for a node's sums, 6 for its slope, and the sine and cosine twice.
const AddRows normality([](std::vector<OpRow>& t) {
  t.push_back({.name = "epps_pulley",
               .inputs = {activation({9, 37})},
               .f = [](In x) -> Out { return {epps_pulley(x[0])}; },
               .bad = {[] { epps_pulley(zeros({4})); },
                       [] {
                         epps_pulley(zeros({5, 4}), 2);
                       },
                       [] {
                         epps_pulley(zeros({5, 4}), 0);
                       }},
               .bench_inputs = {activation({2 * 256, 1024})},
               .bench_bytes = 3.0 * 2 * 256 * 1024 * 4,
               .bench_flops = 2.0 * 256 * 1024 * (16 * 16 + 2 * 30)});
  t.push_back({.name = "epps_pulley of views, some rows too many for one sum",
               .inputs = {activation({3 * 67, 33})},
               .f = [](In x) -> Out { return {epps_pulley(x[0], 3)}; }});
});

const AddRows whitening([](std::vector<OpRow>& t) {
  t.push_back({.name = "whiten",
               .inputs = {activation({20, 4})},
               .f = [](In x) -> Out { return {whiten(x[0], x[0].shape()[0] / 2)}; },
               .bf16_tolerance = 0,
               .bad = {[] {
                         whiten(zeros({20, 4}), 8);
                       },
                       [] {
                         whiten(zeros({20, 6}), 10);
                       },
                       [] {
                         whiten(zeros({300, 129}), 300);
                       },
                       [] {
                         whiten(zeros({20, 4}), 10, 2);
                       },
                       [] {
                         whiten(Tensor::zeros({20, 4}, DType::bf16), 10);
                       }},
               .bench_inputs = {activation({256, 64})},
               .bench_bytes = 8.0 * 256 * 64 * 4,
               .bench_flops = 3 * 256.0 * 64 * 64 * 2});
  t.push_back({.name = "whiten one wide group, shrunk",
               .inputs = {activation({150, 70})},
               .f = [](In x) -> Out { return {whiten(x[0], 150, 0.1)}; },
               .bf16_tolerance = 0});
});

// DINO's: three student views of two images, the first two of them the teacher's.
Tensor dino_loss(In x) { return soft_cross_entropy(x[0], x[1], 2, {.centre = x[2]}).loss; }

const AddRows soft([](std::vector<OpRow>& t) {
  t.push_back({.name = "soft_cross_entropy",
               .inputs = {activation({6, 11}), constant({4, 11}), constant_weights({11})},
               .f = [](In x) -> Out { return {dino_loss(x)}; },
               .bad = {[] {
                         soft_cross_entropy(zeros({6, 4}), zeros({4, 3}), 2);
                       },
                       [] {
                         soft_cross_entropy(zeros({6, 4}), zeros({4, 4}), 4);
                       },
                       [] {
                         soft_cross_entropy(zeros({4, 4}), zeros({4, 4}), 4);
                       },
                       [] {
                         soft_cross_entropy(zeros({4, 4}), zeros({4, 4}), 2, {.temperature = 0});
                       },
                       [] {
                         soft_cross_entropy(zeros({4, 4}), zeros({4, 4}), 2, {.centre = zeros({3})});
                       },
                       [] {
                         soft_cross_entropy(zeros({4, 4}), zeros({4, 4}), 2, {.weights = zeros({3})});
                       },
                       [] {
                         soft_cross_entropy(zeros({4, 4}), Tensor::zeros({4, 4}, DType::bf16), 2);
                       }},
               .bench_inputs = {activation({640, 4096}), constant({128, 4096}), constant_weights({4096})},
               .bench_bytes = (3.0 * 640 + 3.0 * 128) * 4096 * 4,
               .bench_flops = 640.0 * 4096 * 16});
  t.push_back({.name = "soft_cross_entropy in fours",
               .inputs = {activation({8, 40}), constant({4, 40}), constant_weights({40})},
               .f = [](In x) -> Out { return {dino_loss(x)}; }});
  t.push_back({.name = "soft_cross_entropy of many classes",
               .inputs = {activation({4, 1204}), constant({4, 1204}), constant_weights({1204})},
               .f = [](In x) -> Out { return {dino_loss(x)}; }});
  t.push_back({.name = "soft_cross_entropy of an odd number of classes",
               .inputs = {activation({4, 1031}), constant({4, 1031}), constant_weights({1031})},
               .f = [](In x) -> Out { return {dino_loss(x)}; }});
  // Each row against its own target, weighted: masked tokens.
  t.push_back({.name = "soft_cross_entropy weighted",
               .inputs = {activation({5, 9}), constant({5, 9}), constant_weights({5})},
               .f = [](In x) -> Out {
                 return {soft_cross_entropy(x[0], x[1], 5, {.weights = x[2], .same_view = true}).loss};
               }});
  for (const int64_t classes : {8, 1030})
    t.push_back(
        {.name = "soft_cross_entropy of probabilities " + std::to_string(classes),
         .inputs = {activation({6, classes}), constant_weights({4, classes})},
         .f = [](In x) -> Out { return {soft_cross_entropy(x[0], softmax(x[1]), 2, {.probabilities = true}).loss}; }});
});

}  // namespace
}  // namespace gestalt::test
