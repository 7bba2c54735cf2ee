// Op table rows: attention.
#include "engine/ops/attention.h"
#include "tests/op_table.h"

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
  row("attention", {2, 5, 3, 2, 17}, false);
  row("attention causal", {2, 5, 3, 2, 17}, true);
  row("attention one token", {2, 1, 3, 3, 4}, true);
  row("attention two tiles", {1, 65, 3, 1, 33}, false);
  row("attention two tiles causal", {1, 65, 3, 1, 33}, true);
  row("attention wide heads causal", {1, 67, 3, 2, 96}, true);
  row("attention widest heads", {1, 67, 3, 1, 125}, false);
  row("attention many tiles causal", {1, 197, 3, 1, 64}, true);
  t.back().bench_inputs = {activation({4, 197, 3, 6, 64})};
  t.back().bench_flops = 7 * 2.0 * 4 * 6 * 197 * 197 * 64;
  Argument prompt = activation({2, 5, 3, 2, 17}), next = activation({2, 3, 3, 2, 17});
  prompt.differentiable = next.differentiable = false;
  t.push_back({.name = "cached_attention",
               .inputs = {prompt, next},
               .f = [](In x) -> Out {
                 Tensor cache = Tensor::zeros({2, 9, 2, 2, 17}, x[0].dtype(), x[0].device());
                 cached_attention(x[0], cache, 0);
                 return {cached_attention(x[1], cache, 5)};
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
                       }}});
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
