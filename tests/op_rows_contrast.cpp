// Op table rows: losses between views.
#include "engine/ops/contrast.h"
#include "tests/op_table.h"

namespace gestalt::test {
namespace {

using In = std::span<const Tensor>;
using Out = std::vector<Tensor>;

const AddRows rows([](std::vector<OpRow>& t) {
  t.push_back({.name = "nt_xent",
               .inputs = {activation({10, 7})},
               .f = [](In x) -> Out { return {nt_xent(x[0], 0.5)}; },
               .bad = {[] {
                         nt_xent(Tensor::zeros({3, 4}), 0.5);
                       },
                       [] { nt_xent(Tensor::zeros({4}), 0.5); },
                       [] {
                         nt_xent(Tensor::zeros({4, 4}), 0);
                       }},
               .bench_inputs = {activation({4096, 128})},
               .bench_bytes = 4.0 * 4096 * 128 * 4,
               .bench_flops = 5.0 * 4096 * 4096 * 128});
  t.push_back({.name = "nt_xent low temperature", .inputs = {activation({70, 33})}, .f = [](In x) -> Out {
                 return {nt_xent(x[0], 0.05)};
               }});
});

}  // namespace
}  // namespace gestalt::test
