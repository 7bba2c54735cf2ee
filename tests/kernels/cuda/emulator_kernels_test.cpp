// Kernels on the emulated device at lengths and addresses that take every path, against the CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/warp.cuh"
#include "kernels/elementwise.h"
#include "kernels/product.h"
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

// Where a tensor begins within its allocation: 16-byte-aligned, or one element on.
template <class T>
std::vector<T> on_device(const std::vector<T>& x, int offset, const std::function<void(T*)>& work) {
  std::vector<T> shifted(static_cast<size_t>(offset));
  shifted.insert(shifted.end(), x.begin(), x.end());
  const DeviceArray<T> device(shifted);
  work(device.get() + offset);
  std::vector<T> result = device.host();
  return {result.begin() + offset, result.end()};
}

// What Args does in place on the CPU and on the device, for lengths and addresses that take every path of its kernel.
template <class T>
void compare_in_place(const std::function<void(T* x, int64_t count, Stream)>& f, double tolerance) {
  for (int64_t count : {1, 7, 64, 4099, 70001})
    for (int offset : {0, 1}) {
      CAPTURE(count);
      CAPTURE(offset);
      std::vector<T> x(static_cast<size_t>(count));
      for (int64_t i = 0; i < count; ++i) x[i] = static_cast<float>(i * 37 % 101 - 50) / 25;
      const std::vector<T> got = on_device<T>(x, offset, [&](T* at) { f(at, count, compute_stream()); });
      f(x.data(), count, Stream{});
      double worst = 0;
      for (int64_t i = 0; i < count; ++i) {
        const double difference = std::abs(static_cast<float>(got[i]) - static_cast<float>(x[i]));
        worst = std::max(worst, std::isnan(difference) ? INFINITY : difference);
      }
      CHECK(worst <= tolerance);
    }
}

template <class T>
void compare_elementwise(double tolerance) {
  const DType d = dtype_of<T>;
  compare_in_place<T>(
      [&](T* x, int64_t n, Stream s) {
        launch(Combine{.a = {x, d}, .b = {x, d}, .y = {x, d}, .a_scale = 0.5, .b_scale = -0.25, .count = n}, s);
      },
      0);
  compare_in_place<T>([&](T* x, int64_t n, Stream s) { launch(Multiply{{x, d}, {x, d}, {x, d}, n}, s); }, 0);
  compare_in_place<T>([&](T* x, int64_t n, Stream s) { launch(Fill{{x, d}, 2.5, n}, s); }, 0);
  compare_in_place<T>([&](T* x, int64_t n, Stream s) { launch(Pointwise{{x, d}, {x, d}, Gelu{}, n}, s); }, tolerance);
  compare_in_place<T>(
      [&](T* x, int64_t n, Stream s) {
        launch(PointwiseBackward{{x, d}, {x, d}, {x, d}, GeluTanh{}, n}, s);
      },
      tolerance);
  compare_in_place<T>([&](T* x, int64_t n, Stream s) { launch(Sum{{x, d}, {x, d}, 0.125, n}, s); }, tolerance);
}

}  // namespace

TEST_CASE("cuda: elementwise kernels agree with the CPU on every path") {
  compare_elementwise<float>(2e-6);
  compare_elementwise<BFloat16>(0.008);
}

TEST_CASE("cuda: column sums and added rows agree with the CPU on every path") {
  for (const auto& shape : {std::pair{1, 3}, {5, 64}, {700, 12}, {1000, 33}, {64, 1000}}) {
    const int rows = shape.first, columns = shape.second;
    CAPTURE(rows);
    CAPTURE(columns);
    std::vector<float> x(static_cast<size_t>(rows * columns)), sums(columns), row(columns);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 101) / 64;
    for (int j = 0; j < columns; ++j) row[j] = static_cast<float>(j);
    const DeviceArray<float> dx(x), drow(row), dsums(sums.size()), dy(x.size());
    const DType f32 = DType::f32;
    launch(ColumnSum{{dx.get(), f32}, {dsums.get(), f32}, rows, columns}, compute_stream());
    launch(ColumnSum{{x.data(), f32}, {sums.data(), f32}, rows, columns}, Stream{});
    const std::vector<float> got = dsums.host();
    for (int j = 0; j < columns; ++j) CHECK(std::abs(got[j] - sums[j]) <= 1e-6f * sums[j]);
    launch(AddRow{{dx.get(), f32}, {drow.get(), f32}, {dy.get(), f32}, rows, columns}, compute_stream());
    launch(AddRow{{x.data(), f32}, {row.data(), f32}, {x.data(), f32}, rows, columns}, Stream{});
    CHECK(dy.host() == x);
  }
}

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

TEST_CASE("cuda: products agree with the CPU on transposes, batches, biases and both dtypes") {
  const int64_t m = 20, n = 36, k = 28, batch = 3;
  std::vector<float> a(batch * m * k), b(batch * k * n), bias(n);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 37 % 31) / 16 - 1;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 53 % 29) / 16 - 1;
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i) / 8;
  const DeviceArray<float> da(a), db(b), dbias(bias), dc(batch * m * n);
  std::vector<float> c(batch * m * n);
  const DType f32 = DType::f32;
  for (int mode = 0; mode < 8; ++mode) {
    CAPTURE(mode);
    const bool ta = mode & 1, tb = mode & 2, biased = mode & 4;
    launch(Product{.a = {da.get(), f32},
                   .b = {db.get(), f32},
                   .bias = {biased ? dbias.get() : nullptr, f32},
                   .c = {dc.get(), f32},
                   .m = m,
                   .n = n,
                   .k = k,
                   .batch = batch,
                   .transpose_a = ta,
                   .transpose_b = tb},
           compute_stream());
    launch(Product{.a = {a.data(), f32},
                   .b = {b.data(), f32},
                   .bias = {biased ? bias.data() : nullptr, f32},
                   .c = {c.data(), f32},
                   .m = m,
                   .n = n,
                   .k = k,
                   .batch = batch,
                   .transpose_a = ta,
                   .transpose_b = tb},
           Stream{});
    const std::vector<float> got = dc.host();
    float worst = 0;
    for (size_t i = 0; i < c.size(); ++i) worst = std::max(worst, std::abs(got[i] - c[i]));
    CHECK(worst < 2e-5f);
  }
}

TEST_CASE("cuda: f64 is refused by name") {
  const DeviceArray<double> x(4);
  CHECK_THROWS_WITH_AS(
      launch(Multiply{{x.get(), DType::f64}, {x.get(), DType::f64}, {x.get(), DType::f64}, 4}, compute_stream()),
      "[cuda] got f64, expected f32 or bf16; f64 runs on --device cpu", Error);
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
