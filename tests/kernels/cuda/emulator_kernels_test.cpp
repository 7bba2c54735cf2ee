// What of kernels and graphs only the emulated device shows.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/warp.cuh"
#include "kernels/elementwise.h"
#include "tests/cuda_emulator/emulator.h"
#include "tests/kernels/cuda/emulator_test.h"

namespace gestalt::kernels::cuda {
namespace {

// This program has no allocator: each launch gets working memory of its own.
[[maybe_unused]] const bool scratch_is_set = [] {
  scratch_source = {[](int64_t bytes, Stream stream) {
                      return stream.device == Device::cpu ? std::malloc(static_cast<size_t>(bytes))
                                                          : device_allocate(static_cast<size_t>(bytes));
                    },
                    [](void* memory, Stream stream) {
                      if (stream.device == Device::cpu) return std::free(memory);
                      device_release(memory);
                    }};
  return true;
}();

}  // namespace

TEST_CASE("cuda: a profiler range is named after each kernel, and memory freed under capture stays with the graph") {
  const DeviceArray<float> y(8);
  emulator::record_ranges();
  launch(Fill{{y.get(), DType::f32}, 1.0, 8}, compute_stream());
  const std::vector<std::string> ranges = emulator::recorded_ranges();
  CHECK(ranges.back() == "Fill");

  synchronize();
  const uint64_t live = emulator::counters().allocations_live;
  {
    Graph graph;
    graph.begin();
    float* between = static_cast<float*>(device_allocate(32));
    launch(Fill{{between, DType::f32}, 3.0, 8}, compute_stream());
    launch(Convert{{between, DType::f32}, {y.get(), DType::f32}, 8}, compute_stream());
    device_release(between);
    graph.end();
    graph.launch();
    graph.launch();
    CHECK(y.host()[7] == 3);
  }
  synchronize();
  CHECK(emulator::counters().allocations_live == live);
}

__global__ void block_sum_kernel(const float* x, float* y) {
  y[threadIdx.x] = block_sum(x[threadIdx.x]) + block_max(x[threadIdx.x]);
}

TEST_CASE("cuda: sums and maxima over a block reach every thread") {
  const DeviceArray<float> x(ramp(96)), y(96);
  start(block_sum_kernel, 1, 96, 0, x.get(), y.get());
  for (float v : y.host()) CHECK(v == 95 * 96 / 2 + 95);
}

}  // namespace gestalt::kernels::cuda
