// Captured graphs on CUDA, real or emulated: what they see anew, whose memory they use, and captures that fail.
#include "engine/tensor/graph.h"

#include <doctest/doctest.h>

#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/tensor/allocator.h"
#include "engine/tensor/device_memory.h"
#include "engine/tensor/step_number.h"
#include "tests/devices.h"
#include "tests/engine/tensor/pooled_memory.h"
#if GESTALT_EMULATED
#include "tests/cuda_emulator/emulator.h"
#endif

namespace gestalt::test {

TEST_CASE("graph on cuda: a launch sees what memory holds then, inputs and numbers alike" *
          doctest::skip(without_cuda)) {
  Tensor x = Tensor::full({1000}, 1, DType::f32, Device::cuda), y;
  StepNumber<uint64_t> step;
  step.set(1, Device::cuda);
  Graph graph;
  CHECK_FALSE(graph);
  graph.capture([&] { y = scale(dropout(x, 0.5, 7, step.get(), 0), 2); });
  CHECK(graph);
  for (uint64_t number : {1, 2, (1 << 20) + 3}) {
    CAPTURE(number);
    step.set(number, Device::cuda);
    x.fill(static_cast<double>(number));
    graph.launch();
    CHECK(y.values() == scale(dropout(x, 0.5, 7, number, 0), 2).values());
  }
}

TEST_CASE("graph on cuda: memory that it gave back while it was captured is nobody else's until it goes" *
          doctest::skip(without_cuda)) {
  const PooledMemory pooled;
  Tensor x = Tensor::full({5000}, 3, DType::f32, Device::cuda), y;
  std::vector<Tensor> others;
  {
    Graph graph;
    graph.capture([&] {
      const Tensor between = scale(x, 5);
      y = scale(between, 7);
    });
    graph.launch();
    for (int i = 0; i < 20; ++i) others.push_back(Tensor::full({5000}, i, DType::f32, Device::cuda));
    graph.launch();
    for (int i = 0; i < 20; ++i)
      for (float v : others[i].values()) REQUIRE(v == static_cast<float>(i));
    for (float v : y.values()) REQUIRE(v == 105);
  }
  for (int i = 0; i < 20; ++i) others.push_back(Tensor::full({5000}, i, DType::f32, Device::cuda));
  for (float v : y.values()) REQUIRE(v == 105);  // outlives the graph, and its memory with it
  const size_t in_use = allocator_stats(Device::cuda).in_use;
  others.clear();
  y = Tensor();
  CHECK(allocator_stats(Device::cuda).in_use + 41 * 5000 * 4 <= in_use);
}

TEST_CASE("graph on cuda: work that needs the host cannot be captured, and nothing is left of the attempt" *
          doctest::skip(without_cuda)) {
  const Tensor x = Tensor::full({10}, 3, DType::f32, Device::cuda);
  Graph graph;
  CHECK_THROWS_WITH_AS(graph.capture([&] { (void)scale(x, 2).item(); }),
                       doctest::Contains("--no-graph runs it kernel by kernel"), Error);
  CHECK_FALSE(graph);
  CHECK_THROWS_WITH_AS(graph.launch(), doctest::Contains("[graph]"), Error);
  CHECK(sum(x).item() == 30);
  Tensor y;
  graph.capture([&] { y = scale(x, 4); });
  graph.launch();
  CHECK(y.values()[9] == 12);
}

#if GESTALT_EMULATED
TEST_CASE("graph on cuda: a capture has the room of what ran before it, though the device is still at that") {
  const PooledMemory pooled;
  release_cached(Device::cuda);
  synchronize(Device::cuda);
  const Shape large{int64_t{10} << 20};  // 40 MiB
  emulator::set_memory_limit(emulator::counters().bytes_in_use + (size_t{60} << 20));
  Tensor::full(large, 1, DType::f32, Device::cuda);
  Tensor y;
  Graph graph;
  CHECK_NOTHROW(graph.capture([&] { y = Tensor::full(large, 2, DType::f32, Device::cuda); }));
  emulator::set_memory_limit(size_t{16} << 30);
  graph.launch();
  CHECK(y.values().back() == 2);
}
#endif

}  // namespace gestalt::test
