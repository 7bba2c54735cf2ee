// Op table rows: losses between views.
#include "engine/ops/contrast.h"
#include "tests/engine/ops/op_table.h"

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
               .bench_bytes = 3.0 * 4096 * 128 * 4,
               .bench_flops = 4.0 * 4096 * 4096 * 128});
  t.push_back({.name = "nt_xent low temperature", .inputs = {activation({70, 33})}, .f = [](In x) -> Out {
                 return {nt_xent(x[0], 0.05)};
               }});
  // One shape for each width that the CUDA form is compiled for, over several of its blocks.
  t.push_back({.name = "nt_xent wide", .inputs = {activation({34, 100})}, .f = [](In x) -> Out {
                 return {nt_xent(x[0], 0.2)};
               }});
  t.push_back({.name = "nt_xent wide and long", .inputs = {activation({290, 100})}, .f = [](In x) -> Out {
                 return {nt_xent(x[0], 0.2)};
               }});
  t.push_back({.name = "nt_xent wider", .inputs = {activation({140, 200})}, .f = [](In x) -> Out {
                 return {nt_xent(x[0], 0.2)};
               }});
  // An even number of CUDA's blocks of rows, of which two meet twice; an odd one; more than one launch walks.
  for (const int64_t count : {230, 300, 600})
    t.push_back({.name = "nt_xent of " + std::to_string(count),
                 .inputs = {activation({count, 20})},
                 .f = [](In x) -> Out { return {nt_xent(x[0], 0.3)}; }});
  t.push_back({.name = "nt_xent widest", .inputs = {activation({70, 512})}, .f = [](In x) -> Out {
                 return {nt_xent(x[0], 0.2)};
               }});
  t.push_back({.name = "cosine_loss",
               .inputs = {activation({6, 9}), activation({6, 9})},
               .f = [](In x) -> Out { return {cosine_loss(x[0], x[1])}; },
               .bad = {[] {
                         cosine_loss(Tensor::zeros({3, 4}), Tensor::zeros({4, 3}));
                       },
                       [] { cosine_loss(Tensor::zeros({3}), Tensor::zeros({3})); },
                       [] {
                         cosine_loss(Tensor::zeros({3, 4}), Tensor::zeros({3, 4}, DType::bf16));
                       }},
               .bench_inputs = {activation({4096, 256}), activation({4096, 256})},
               .bench_bytes = 6.0 * 4096 * 256 * 4,
               .bench_flops = 14.0 * 4096 * 256});
  t.push_back({.name = "cosine_loss of a detached target",
               .inputs = {activation({6, 9}), {.shape = {6, 9}, .differentiable = false}},
               .f = [](In x) -> Out { return {cosine_loss(x[0], x[1])}; }});
});

}  // namespace
}  // namespace gestalt::test
