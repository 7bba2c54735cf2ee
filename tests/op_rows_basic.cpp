// Op table rows: products, convolution, element-by-element ops and views.
#include "engine/ops/conv.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "tests/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

Tensor zeros(Shape shape) { return Tensor::zeros(shape); }

const AddRows rows([](std::vector<OpRow>& t) {
  t.push_back({.name = "matmul",
               .inputs = {activation({2, 5, 7}), activation({2, 7, 3})},
               .f = [](In x) -> Out { return {matmul(x[0], x[1])}; },
               .bad = {[] { matmul(zeros({2, 3}), zeros({2, 3})); }, [] { matmul(zeros({3}), zeros({3})); }}});
  t.push_back({.name = "matmul transpose_a",
               .inputs = {activation({7, 5}), activation({7, 3})},
               .f = [](In x) -> Out { return {matmul(x[0], x[1], true, false)}; }});
  t.push_back({.name = "matmul transpose_b",
               .inputs = {activation({5, 7}), activation({3, 7})},
               .f = [](In x) -> Out { return {matmul(x[0], x[1], false, true)}; }});
  t.push_back({.name = "matmul transpose_both",
               .inputs = {activation({2, 7, 5}), activation({2, 3, 7})},
               .f = [](In x) -> Out { return {matmul(x[0], x[1], true, true)}; }});
  t.push_back({.name = "linear",
               .inputs = {activation({2, 9, 20}), weights({13, 20}), weights({13})},
               .f = [](In x) -> Out { return {linear(x[0], x[1], x[2])}; },
               .bad = {[] { linear(zeros({2, 3}), zeros({4, 2})); },
                       [] { linear(zeros({2, 3}), zeros({4, 3}), zeros({3})); }}});
  t.push_back({.name = "linear without bias",
               .inputs = {activation({6, 20}), weights({13, 20})},
               .f = [](In x) -> Out { return {linear(x[0], x[1])}; }});
  t.push_back({.name = "linear_gelu_tanh",
               .inputs = {activation({2, 9, 24}), weights({16, 24}), weights({16})},
               .f = [](In x) -> Out { return {linear_gelu_tanh(x[0], x[1], x[2])}; },
               .bad = {[] { linear_gelu_tanh(zeros({2, 3}), zeros({4, 2})); }}});
  t.push_back({.name = "conv2d 3x3",
               .inputs = {activation({2, 6, 5, 4}), weights({8, 3, 3, 4})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 1, 1)}; },
               .bad = {[] { conv2d(zeros({1, 4, 4, 3}), zeros({8, 3, 3, 4})); },
                       [] { conv2d(zeros({1, 2, 2, 3}), zeros({8, 5, 5, 3})); }}});
  t.push_back({.name = "conv2d 3x3 of whole vectors",  // Winograd on the CPU: tiles over the edge, one and a half panels
               .inputs = {activation({8, 7, 6, 16}), weights({48, 3, 3, 16})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 1, 1)}; }});
  t.push_back({.name = "conv2d 3x3 stride 2",
               .inputs = {activation({2, 7, 6, 16}), weights({16, 3, 3, 16})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 2, 1)}; }});
  t.push_back({.name = "conv2d 1x1 stride 2",
               .inputs = {activation({2, 6, 6, 16}), weights({32, 1, 1, 16})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 2, 0)}; }});
  t.push_back({.name = "conv2d 7x7 stride 2",
               .inputs = {activation({1, 12, 12, 3}), weights({8, 7, 7, 3})},
               .f = [](In x) -> Out { return {conv2d(x[0], x[1], 2, 3)}; }});
  t.push_back({.name = "add",
               .inputs = {activation({3, 5}), activation({3, 5})},
               .f = [](In x) -> Out { return {add(x[0], x[1])}; },
               .bad = {[] { add(zeros({2, 3}), zeros({3, 2})); }}});
  t.push_back({.name = "subtract",
               .inputs = {activation({3, 5}), activation({3, 5})},
               .f = [](In x) -> Out { return {subtract(x[0], x[1])}; },
               .bad = {[] { subtract(zeros({2}), zeros({3})); }}});
  t.push_back({.name = "multiply",
               .inputs = {activation({3, 5}), activation({3, 5})},
               .f = [](In x) -> Out { return {multiply(x[0], x[1])}; },
               .bad = {[] { multiply(zeros({2}), zeros({3})); }}});
  t.push_back({.name = "scale",
               .inputs = {activation({3, 5})},
               .f = [](In x) -> Out { return {scale(x[0], -0.37)}; }});
  t.push_back({.name = "add_row",
               .inputs = {activation({2, 4, 5}), weights({5})},
               .f = [](In x) -> Out { return {add_row(x[0], x[1])}; },
               .bad = {[] { add_row(zeros({2, 3}), zeros({2})); }}});
  t.push_back({.name = "relu",
               .inputs = {activation({50})},
               .f = [](In x) -> Out { return {relu(x[0])}; },
               .kinks = {0}});
  t.push_back({.name = "gelu", .inputs = {activation({50})}, .f = [](In x) -> Out { return {gelu(x[0])}; }});
  t.push_back(
      {.name = "gelu_tanh", .inputs = {activation({50})}, .f = [](In x) -> Out { return {gelu_tanh(x[0])}; }});
  t.push_back({.name = "sum", .inputs = {activation({5, 7})}, .f = [](In x) -> Out { return {sum(x[0])}; }});
  t.push_back({.name = "mean", .inputs = {activation({5, 7})}, .f = [](In x) -> Out { return {mean(x[0])}; }});
  t.push_back({.name = "reshape",
               .inputs = {activation({6, 4})},
               .f = [](In x) -> Out { return {x[0].reshape({3, 8})}; },
               .bad = {[] { zeros({2, 3}).reshape({7}); }}});
  t.push_back({.name = "slice",
               .inputs = {activation({6, 4})},
               .f = [](In x) -> Out { return {x[0].slice(1, 3), x[0].slice(2, 6)}; },
               .bad = {[] { zeros({2, 3}).slice(1, 4); }}});
  t.push_back({.name = "used twice",
               .inputs = {activation({6})},
               .f = [](In x) -> Out { return {multiply(add(x[0], x[0]), scale(x[0], 2)), x[0].reshape({2, 3})}; }});
});

}  // namespace
}  // namespace gestalt::test
