// What comes with a launch: its working memory and its cost.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/ops/contrast.h"
#include "engine/ops/product.h"
#include "engine/tensor/allocator.h"
#include "kernels/attention.h"
#include "kernels/launch.h"
#include "kernels/nt_xent.h"
#include "kernels/optimizer.h"

namespace gestalt::kernels {
namespace {

struct Pieces {
  Pieces(Scratch& memory, int64_t count)
      : bytes(memory.take<uint8_t>(count)), none(memory.take<float>(0)), doubles(memory.take<double>(count)) {}
  uint8_t* bytes;
  float* none;
  double* doubles;
};

struct Seen : LaunchObserver {
  void begin(const LaunchInfo& launch) override {
    names.push_back(launch.kernel);
    costs.push_back(launch.cost());
  }
  void end(Stream) override {}
  std::vector<std::string> names;
  std::vector<Cost> costs;
};

}  // namespace

TEST_CASE("scratch: pieces lie apart, each on a multiple of 256 bytes, within what was asked for") {
  CHECK(bytes_of<Pieces>(int64_t{300}) == 512 + 2560);
  CHECK(bytes_of<Pieces>(int64_t{0}) == 0);
  alignas(256) static std::byte block[512 + 2560];
  Scratch memory(block);
  const Pieces p(memory, 300);
  CHECK(static_cast<void*>(p.bytes) == block);
  CHECK(static_cast<void*>(p.doubles) == block + 512);
  CHECK(memory.bytes() == sizeof(block));
}

TEST_CASE("launch: observers are told the cost; the working memory is gone afterwards") {
  const Tensor a = Tensor::full({3, 4}, 1), b = Tensor::full({4, 5}, 1);
  const Tensor z = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}, {4, 2});
  const size_t before = allocator_stats(Device::cpu).in_use;
  Seen seen;
  launch_observer = &seen;
  matmul(a, b);
  nt_xent(z, 0.5);
  launch_observer = nullptr;
  REQUIRE(seen.names == std::vector<std::string>{"Product", "NtXent"});
  CHECK(seen.costs[0].flops == 2 * 3 * 4 * 5);
  CHECK(seen.costs[0].bytes == 4 * (3 * 4 + 4 * 5 + 3 * 5));
  CHECK_FALSE(seen.costs[0].loss);
  CHECK(seen.costs[1].loss);
  CHECK(allocator_stats(Device::cpu).in_use == before);
}

TEST_CASE("cost: causal attention sees half the pairs, and a cache what lies before") {
  const In x{nullptr, DType::bf16};
  const AttentionShape all{2, 10, 3, 8, false}, causal{2, 10, 3, 8, true};
  CHECK(cost(Attention{x, {}, {}, all}).flops == 2.0 * 2 * 10 * 10 * 2 * 3 * 8);
  CHECK(cost(Attention{x, {}, {}, causal}).flops == 2.0 * 2 * 55 * 2 * 3 * 8);
  const CachedAttention one{.qkv = x, .cache = {}, .y = {}, .shape = {2, 1, 3, 8, true}, .first = 9, .capacity = 10};
  CHECK(cost(one).flops == 2.0 * 2 * 10 * 2 * 3 * 8);
}

TEST_CASE("cost: an update's does not need the list of segments, which lies on the device") {
  float memory = 0;
  const Out out{&memory, DType::f32};
  AdamwStep step{};
  step.weights = step.first = step.second = out;
  step.grads = {&memory, DType::f32};
  step.count = 1000;
  CHECK(cost(step).bytes == 7 * 4 * 1000);
  step.shadows = {&memory, DType::bf16};
  CHECK(cost(step).bytes == (7 * 4 + 2) * 1000);
}

}  // namespace gestalt::kernels
