// Op table rows: products, convolution, element-by-element ops and views.
#include "engine/ops/conv.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Tensor zeros(Shape shape) { return Tensor::zeros(shape); }

// For the benchmark: the tokens of 64 images in ViT-S, and three products (forward, and one for each operand's
// gradient).
const Shape tokens{64, 197, 384};
constexpr double token_count = 64.0 * 197 * 384;
double three_products(double m, double n, double k) { return 3 * 2 * m * n * k; }
double three_products_bytes(double m, double n, double k) { return 3 * 4 * (m * n + n * k + k * m); }
// The same of a convolution: numbers in x, y and w, and how many of x a number in y is made from.
double three_convolutions(double y, double taps) { return 3 * 2 * y * taps; }
double three_convolutions_bytes(double x, double y, double w) { return 3 * 4 * (x + y + w); }

const AddRows rows([](std::vector<OpRow>& t) {
  t.push_back({.name = "matmul",
               .inputs = {activation({2, 5, 7}), activation({2, 7, 3})},
               .f = [](In x) -> Out { return {matmul(x[0], x[1])}; },
               .bad = {[] {
                         matmul(zeros({2, 3}), zeros({2, 3}));
                       },
                       [] { matmul(zeros({3}), zeros({3})); }},
               .bench_inputs = {activation({16, 512, 512}), activation({16, 512, 512})},
               .bench_bytes = 16 * three_products_bytes(512, 512, 512),
               .bench_flops = 16 * three_products(512, 512, 512)});
  t.push_back({.name = "matmul transpose_a",
               .inputs = {activation({7, 5}), activation({7, 3})},
               .f = [](In x) -> Out { return {matmul(x[0], x[1], true, false)}; },
               .bench_inputs = {activation({2048, 1024}), activation({2048, 1024})},
               .bench_bytes = three_products_bytes(1024, 1024, 2048),
               .bench_flops = three_products(1024, 1024, 2048)});
  t.push_back({.name = "matmul transpose_b",
               .inputs = {activation({5, 7}), activation({3, 7})},
               .f = [](In x) -> Out { return {matmul(x[0], x[1], false, true)}; },
               .bench_inputs = {activation({2048, 1024}), activation({1024, 1024})},
               .bench_bytes = three_products_bytes(2048, 1024, 1024),
               .bench_flops = three_products(2048, 1024, 1024)});
  t.push_back({.name = "matmul transpose_both",
               .inputs = {activation({2, 7, 5}), activation({2, 3, 7})},
               .f = [](In x) -> Out { return {matmul(x[0], x[1], true, true)}; },
               .bench_inputs = {activation({16, 512, 512}), activation({16, 512, 512})},
               .bench_bytes = 16 * three_products_bytes(512, 512, 512),
               .bench_flops = 16 * three_products(512, 512, 512)});
  t.push_back({.name = "linear",
               .inputs = {activation({2, 9, 20}), weights({13, 20}), weights({13})},
               .f = [](In x) -> Out { return {linear(x[0], x[1], x[2])}; },
               .bad = {[] {
                         linear(zeros({2, 3}), zeros({4, 2}));
                       },
                       [] {
                         linear(zeros({2, 3}), zeros({4, 3}), zeros({3}));
                       }},
               .bench_inputs = {activation({16, 197, 384}), weights({1536, 384}), weights({1536})},
               .bench_bytes = three_products_bytes(16 * 197, 1536, 384),
               .bench_flops = three_products(16 * 197, 1536, 384)});
  t.push_back({.name = "linear without bias",
               .inputs = {activation({6, 20}), weights({13, 20})},
               .f = [](In x) -> Out { return {linear(x[0], x[1])}; },
               .bench_inputs = {activation({2048, 512}), weights({2048, 512})},
               .bench_bytes = three_products_bytes(2048, 2048, 512),
               .bench_flops = three_products(2048, 2048, 512)});
  t.push_back({.name = "linear_gelu",
               .inputs = {activation({2, 9, 24}), weights({16, 24}), weights({16})},
               .f = [](In x) -> Out { return {linear_gelu(x[0], x[1], x[2])}; },
               .bad = {[] {
                 linear_gelu(zeros({2, 3}), zeros({4, 2}));
               }},
               .bench_inputs = {activation({16, 197, 384}), weights({1536, 384}), weights({1536})},
               .bench_bytes = three_products_bytes(16 * 197, 1536, 384) + 5 * 4 * 16.0 * 197 * 1536,
               .bench_flops = three_products(16 * 197, 1536, 384)});
  t.push_back({.name = "linear_gelu without bias",
               .inputs = {activation({3, 20}), weights({13, 20})},
               .f = [](In x) -> Out { return {linear_gelu(x[0], x[1])}; }});
  t.push_back({.name = "linear_gelu_tanh",
               .inputs = {activation({2, 9, 24}), weights({16, 24}), weights({16})},
               .f = [](In x) -> Out { return {linear_gelu_tanh(x[0], x[1], x[2])}; },
               .bad = {[] {
                 linear_gelu_tanh(zeros({2, 3}), zeros({4, 2}));
               }},
               .bench_inputs = {activation({16, 197, 384}), weights({1536, 384}), weights({1536})},
               .bench_bytes = three_products_bytes(16 * 197, 1536, 384) + 3 * 4 * 16.0 * 197 * 1536,
               .bench_flops = three_products(16 * 197, 1536, 384)});
  t.push_back({.name = "conv2d 3x3",
               .inputs = {activation({2, 6, 5, 4}), weights({8, 3, 3, 4})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 1, 1)}; },
               .bad = {[] {
                         conv2d(zeros({1, 4, 4, 3}), zeros({8, 3, 3, 4}));
                       },
                       [] {
                         conv2d(zeros({1, 2, 2, 3}), zeros({8, 5, 5, 3}));
                       }},
               .bench_inputs = {activation({32, 32, 32, 64}), weights({64, 3, 3, 64})},
               .bench_bytes = three_convolutions_bytes(32 * 1024 * 64, 32 * 1024 * 64, 64 * 576),
               .bench_flops = three_convolutions(32 * 1024 * 64, 576)});
  t.push_back(
      {.name = "conv2d 3x3 of whole vectors",  // Winograd on the CPU: tiles over the edge, one and a half panels
       .inputs = {activation({8, 7, 6, 16}), weights({48, 3, 3, 16})},
       .f = [](In x) -> Out { return {conv2d(x[0], x[1], 1, 1)}; }});
  t.push_back({.name = "conv2d 3x3 stride 2",
               .inputs = {activation({2, 7, 6, 16}), weights({16, 3, 3, 16})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 2, 1)}; },
               .bench_inputs = {activation({32, 32, 32, 64}), weights({128, 3, 3, 64})},
               .bench_bytes = three_convolutions_bytes(32 * 1024 * 64, 32 * 256 * 128, 128 * 576),
               .bench_flops = three_convolutions(32 * 256 * 128, 576)});
  t.push_back(
      {.name =
           "conv2d 3x3 stride 2 of whole vectors",  // Winograd on the CPU: tiles over the edge, one and a half panels
       .inputs = {activation({8, 13, 10, 16}), weights({48, 3, 3, 16})},
       .f = [](In x) -> Out { return {conv2d(x[0], x[1], 2, 1)}; }});
  t.push_back(
      {.name = "conv2d 3x3 stride 2 of whole panels",  // one product on the CPU: an odd number of outputs, two blocks
       .inputs = {activation({9, 9, 5, 32}), weights({64, 3, 3, 32})},
       .f = [](In x) -> Out { return {conv2d(x[0], x[1], 2, 1)}; }});
  t.push_back({.name = "conv2d 1x1 stride 2",
               .inputs = {activation({2, 6, 6, 16}), weights({32, 1, 1, 16})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 2, 0)}; },
               .bench_inputs = {activation({32, 32, 32, 64}), weights({128, 1, 1, 64})},
               .bench_bytes = three_convolutions_bytes(32 * 1024 * 64, 32 * 256 * 128, 128 * 64),
               .bench_flops = three_convolutions(32 * 256 * 128, 64)});
  t.push_back({.name = "conv2d 7x7 stride 2",
               .inputs = {activation({1, 12, 12, 3}), weights({8, 7, 7, 3})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 2, 3)}; },
               .bench_inputs = {activation({8, 224, 224, 3}), weights({64, 7, 7, 3})},
               .bench_bytes = three_convolutions_bytes(8 * 224 * 224 * 3, 8 * 112 * 112 * 64, 64 * 147),
               .bench_flops = three_convolutions(8 * 112 * 112 * 64, 147)});
  t.push_back({.name = "conv_transpose2d doubling",
               .inputs = {activation({2, 4, 5, 16}), weights({16, 4, 4, 8})},
               .f = [](In x) -> Out { return {conv_transpose2d(x[0], x[1], 2, 1)}; },
               .bad = {[] {
                         conv_transpose2d(zeros({1, 4, 4, 3}), zeros({8, 4, 4, 3}));
                       },
                       [] {
                         conv_transpose2d(zeros({1, 1, 1, 3}), zeros({3, 2, 2, 8}), 1, 1);
                       }},
               .bench_inputs = {activation({64, 8, 8, 256}), weights({256, 4, 4, 128})},
               .bench_bytes = three_convolutions_bytes(64 * 256 * 128, 64 * 64 * 256, 256 * 16 * 128),
               .bench_flops = three_convolutions(64 * 64 * 256, 16 * 128)});
  t.push_back({.name = "conv_transpose2d of one pixel",
               .inputs = {activation({3, 1, 1, 12}), weights({12, 4, 4, 16})},
               .f = [](In x) -> Out { return {conv_transpose2d(x[0], x[1])}; }});
  t.push_back({.name = "conv_transpose2d to three channels",
               .inputs = {activation({2, 4, 4, 8}), weights({8, 4, 4, 3})},
               .f = [](In x) -> Out { return {conv_transpose2d(x[0], x[1], 2, 1)}; }});
  t.push_back({.name = "conv_transpose2d of one channel",
               .inputs = {activation({2, 3, 3, 1}), weights({1, 4, 4, 3})},
               .f = [](In x) -> Out { return {conv_transpose2d(x[0], x[1], 2, 1)}; }});
  t.push_back({.name = "conv_transpose2d to one channel",
               .inputs = {activation({2, 3, 2, 3}), weights({3, 5, 3, 1})},
               .f = [](In x) -> Out { return {conv_transpose2d(x[0], x[1], 3, 0)}; }});
  t.push_back({.name = "conv2d 4x4 to one number",
               .inputs = {activation({3, 4, 4, 16}), weights({1, 4, 4, 16})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1])}; }});
  t.push_back({.name = "add",
               .inputs = {activation({3, 5}), activation({3, 5})},
               .f = [](In x) -> Out { return {add(x[0], x[1])}; },
               .bad = {[] {
                 add(zeros({2, 3}), zeros({3, 2}));
               }},
               .bench_inputs = {activation(tokens), activation(tokens)},
               .bench_bytes = 3.0 * 4 * token_count,
               .bench_flops = 1.0 * token_count});
  t.push_back({.name = "subtract",
               .inputs = {activation({3, 5}), activation({3, 5})},
               .f = [](In x) -> Out { return {subtract(x[0], x[1])}; },
               .bad = {[] { subtract(zeros({2}), zeros({3})); }},
               .bench_inputs = {activation(tokens), activation(tokens)},
               .bench_bytes = 5.0 * 4 * token_count,
               .bench_flops = 2.0 * token_count});
  t.push_back({.name = "multiply",
               .inputs = {activation({3, 5}), activation({3, 5})},
               .f = [](In x) -> Out { return {multiply(x[0], x[1])}; },
               .bad = {[] { multiply(zeros({2}), zeros({3})); }},
               .bench_inputs = {activation(tokens), activation(tokens)},
               .bench_bytes = 8.0 * 4 * token_count,
               .bench_flops = 3.0 * token_count});
  t.push_back({.name = "scale",
               .inputs = {activation({3, 5})},
               .f = [](In x) -> Out { return {scale(x[0], -0.37)}; },
               .bench_inputs = {activation(tokens)},
               .bench_bytes = 4.0 * 4 * token_count,
               .bench_flops = 2.0 * token_count});
  t.push_back({.name = "add_row",
               .inputs = {activation({2, 4, 5}), weights({5})},
               .f = [](In x) -> Out { return {add_row(x[0], x[1])}; },
               .bad = {[] {
                 add_row(zeros({2, 3}), zeros({2}));
               }},
               .bench_inputs = {activation(tokens), weights({384})},
               .bench_bytes = 3.0 * 4 * token_count,
               .bench_flops = 2.0 * token_count});
  t.push_back({.name = "relu",
               .inputs = {activation({50})},
               .f = [](In x) -> Out { return {relu(x[0])}; },
               .kinks = {0},
               .bench_inputs = {activation(tokens)},
               .bench_bytes = 5.0 * 4 * token_count,
               .bench_flops = 2.0 * token_count});
  t.push_back({.name = "leaky_relu",
               .inputs = {activation({50})},
               .f = [](In x) -> Out { return {leaky_relu(x[0])}; },
               .kinks = {0},
               .bench_inputs = {activation(tokens)},
               .bench_bytes = 5.0 * 4 * token_count,
               .bench_flops = 3.0 * token_count});
  const auto from_one = [&](const char* name, Shape shape, Tensor (*op)(const Tensor&), double passes, double flops) {
    t.push_back({.name = name,
                 .inputs = {activation(shape)},
                 .f = [op](In x) -> Out { return {op(x[0])}; },
                 .bench_inputs = {activation(tokens)},
                 .bench_bytes = passes * 4 * token_count,
                 .bench_flops = flops * token_count});
  };
  from_one("gelu", {50}, gelu, 5, 40);
  from_one("gelu_tanh", {50}, gelu_tanh, 5, 30);
  from_one("tanh", {50}, tanh, 5, 40);
  from_one("softplus", {50}, softplus, 5, 60);
  from_one("sum", {5, 7}, sum, 2, 1);
  from_one("mean", {5, 7}, mean, 2, 1);
  t.push_back({.name = "reshape",
               .inputs = {activation({6, 4})},
               .f = [](In x) -> Out {
                 return {x[0].reshape({3, 8})};
               },
               .bad = {[] {
                 zeros({2, 3}).reshape({7});
               }}});
  t.push_back({.name = "slice",
               .inputs = {activation({6, 4})},
               .f = [](In x) -> Out {
                 return {x[0].slice(1, 3), x[0].slice(2, 6)};
               },
               .bad = {[] {
                 zeros({2, 3}).slice(1, 4);
               }}});
  t.push_back({.name = "used twice", .inputs = {activation({6})}, .f = [](In x) -> Out {
                 return {multiply(add(x[0], x[0]), scale(x[0], 2)), x[0].reshape({2, 3})};
               }});
});

}  // namespace
}  // namespace gestalt::test
