// The emulated CUDA device: that it computes as a device does, and that it catches each kind of planted fault.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/warp.cuh"
#include "tests/cuda_emulator/emulator.h"
#include "tests/kernels/cuda/emulator_test.h"

namespace gestalt::kernels::cuda {
namespace {

using emulator::Order;
constexpr Order orders[] = {Order::forward, Order::reverse, Order::random};

// Reverses the elements of a block through shared memory; `broken` forgets the barrier.
template <bool broken>
__global__ void reverse_kernel(const float* x, float* y) {
  GESTALT_SHARED(float, tile, [64]);
  tile[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  if (!broken) __syncthreads();
  y[blockIdx.x * 64 + threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void write_shared_kernel(int index) {
  GESTALT_SHARED(float, tile, [64]);
  tile[index] = 1;
}
__global__ void write_dynamic_kernel(int index) {
  GESTALT_DYNAMIC_SHARED(float, tile);
  tile[index] = 1;
}
__global__ void write_global_kernel(float* y, int index) { y[index] = 1; }
__global__ void read_global_kernel(const float* x, float* y, int index) { y[0] = x[index]; }
__global__ void divergent_kernel() {
  if (threadIdx.x < 32) __syncthreads();
}
__global__ void two_barriers_kernel() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void half_shuffle_kernel(float* y, unsigned mask) {
  float v = 1;
  if (threadIdx.x < 16) v = __shfl_xor_sync(mask, v, 1);
  y[threadIdx.x] = v;
}
__global__ void early_exit_kernel(float* y) {
  if (threadIdx.x == 5) return;
  y[threadIdx.x] = warp_sum(1.0f);
}

// Copies a warp's floats through shared memory asynchronously; `wait` is how it finishes.
enum class Wait { all, too_few, none };
template <Wait wait>
__global__ void async_kernel(const float* x, float* y) {
  GESTALT_SHARED(float, tile, [32]);
  begin_copy<4>(&tile[threadIdx.x], x + threadIdx.x);
  commit_copies();
  if (wait == Wait::all) wait_copies<0>();
  if (wait == Wait::too_few) wait_copies<1>();
  __syncwarp();
  y[threadIdx.x] = tile[31 - threadIdx.x];
  if (wait == Wait::too_few) wait_copies<0>();
}

}  // namespace

TEST_CASE("emulator: a correct kernel gives the same bits in every order, one without its barrier does not") {
  const DeviceArray<float> x(ramp(128));
  std::vector<std::vector<float>> good, bad;
  for (Order order : orders) {
    emulator::set_order(order, 3);
    const DeviceArray<float> y(128), z(128);
    start(reverse_kernel<false>, 2, 64, 0, x.get(), y.get());
    start(reverse_kernel<true>, 2, 64, 0, x.get(), z.get());
    good.push_back(y.host());
    bad.push_back(z.host());
  }
  emulator::set_order(Order::forward);
  auto same = [](const auto& a, const auto& b) { return std::memcmp(a.data(), b.data(), a.size() * 4) == 0; };
  for (int i = 0; i < 64; ++i) CHECK(good[0][i] == 63 - i);
  CHECK(same(good[0], good[1]));
  CHECK(same(good[0], good[2]));
  CHECK_FALSE(same(bad[0], bad[1]));
  CHECK_FALSE(same(bad[0], good[0]));
  CHECK(std::isnan(bad[0][0]));  // thread 0 read what thread 63 had not written yet
}

TEST_CASE("emulator: out-of-bounds shared accesses are reported") {
  check_fault([] { start(write_shared_kernel, 1, 1, 0, 64); },
              {"kernel planted", "out-of-bounds", "0 bytes after the shared variable tile", "emulator_test.cpp"});
  check_fault([] { start(write_shared_kernel, 1, 1, 0, -1); }, {"4 bytes before the shared variable"});
  check_fault([] { start(write_dynamic_kernel, 1, 1, 256, 64); },
              {"0 bytes after the dynamic shared memory of 256 bytes"});
  check_fault([] { start(write_dynamic_kernel, 1, 1, 0, 0); }, {"the launch asked for none"});
}

TEST_CASE("emulator: out-of-bounds global accesses are reported") {
  check_fault(
      [] {
        const DeviceArray<float> y(100);
        start(write_global_kernel, 1, 1, 0, y.get(), 100);
      },
      {"kernel planted, block (0, 0, 0), thread (0, 0, 0)", "out-of-bounds",
       "0 bytes after a device allocation of 400 bytes"});
  check_fault(
      [] {
        const DeviceArray<float> y(99);  // not a multiple of 16 bytes
        start(write_global_kernel, 1, 1, 0, y.get(), 99);
      },
      {"out-of-bounds write", "0 bytes after a device allocation of 396 bytes"});
  check_fault(
      [] {
        const DeviceArray<float> y(10);
        start(write_global_kernel, 1, 1, 0, y.get(), -1);
      },
      {"4 bytes before a device allocation"});
  check_fault(
      [] {
        float* gone = static_cast<float*>(device_allocate(64));
        device_release(gone);
        start(write_global_kernel, 1, 1, 0, gone, 0);
      },
      {"which was freed"});
  check_fault(
      [] {
        const DeviceArray<float> y(10);
        std::vector<float> more(11);
        copy(y.get(), Device::cuda, more.data(), Device::cpu, 44, compute_stream());
      },
      {"a copy to of 44 bytes out of bounds"});
}

TEST_CASE("emulator: memory that nobody wrote reads as NaN") {
  const DeviceArray<float> x(8), y(1);
  start(read_global_kernel, 1, 1, 0, x.get(), y.get(), 3);
  CHECK(std::isnan(y.host()[0]));
}

TEST_CASE("emulator: a barrier that not all threads reach is reported with its place") {
  check_fault([] { start(divergent_kernel, 1, 64, 0); },
              {"divergent barrier", "emulator_test.cpp:", "reached by 32 of 64 threads", "has returned"});
  check_fault([] { start(two_barriers_kernel, 1, 64, 0); }, {"divergent barrier", "waits in"});
}

TEST_CASE("emulator: a shuffle with a wrong mask is reported with its place") {
  const DeviceArray<float> y(32);
  check_fault([&] { start(half_shuffle_kernel, 1, 32, 0, y.get(), 0xffffffffu); },
              {"__shfl_xor_sync at", "emulator_test.cpp:", "names lane 16", "has returned"});
  check_fault([&] { start(half_shuffle_kernel, 1, 32, 0, y.get(), 0xffu); }, {"does not name the calling lane 8"});
  check_fault([&] { start(early_exit_kernel, 1, 32, 0, y.get()); }, {"names lane 5", "has returned"});
  check_fault([&] { start(early_exit_kernel, 1, 16, 0, y.get()); }, {"lanes that do not exist"});
  start(half_shuffle_kernel, 1, 32, 0, y.get(), 0xffffu);
  CHECK(y.host()[0] == 1);
}

TEST_CASE("emulator: an asynchronous copy without its wait shows") {
  const DeviceArray<float> x(ramp(32)), y(32);
  start(async_kernel<Wait::all>, 1, 32, 0, x.get(), y.get());
  CHECK(y.host()[0] == 31);
  start(async_kernel<Wait::too_few>, 1, 32, 0, x.get(), y.get());
  CHECK(std::isnan(y.host()[0]));
  check_fault([&] { start(async_kernel<Wait::none>, 1, 32, 0, x.get(), y.get()); },
              {"asynchronous copies that it never waited for"});
}

TEST_CASE("emulator: host code may not touch device memory, nor read a result before it is there") {
  const DeviceArray<float> y(std::vector<float>{1, 2, 3});
  check_fault(
      [&] {
        synchronize();
        y.get()[1] = 5;
      },
      {"host code touches device memory, 4 bytes into"});
  float* pinned = static_cast<float*>(pinned_allocate(4));
  pinned[0] = -1;
  copy_async(pinned, y.get() + 2, 4, compute_stream());
  CHECK(pinned[0] == -1);
  synchronize(compute_stream());
  CHECK(pinned[0] == 3);
  pinned_release(pinned);
}

TEST_CASE("emulator: streams run apart until an event orders them") {
  const DeviceArray<float> x(ramp(128)), y(128), z(128);
  const Range range("ordered");
  launch_kernel(reverse_kernel<false>, 2, 64, 0, copy_stream(), x.get(), y.get());
  wait(compute_stream(), copy_stream());
  launch_kernel(reverse_kernel<false>, 2, 64, 0, compute_stream(), y.get(), z.get());
  CHECK(z.host() == ramp(128));

  const DeviceArray<float> late(128), wrong(128);
  launch_kernel(reverse_kernel<false>, 2, 64, 0, copy_stream(), x.get(), late.get());
  launch_kernel(reverse_kernel<false>, 2, 64, 0, compute_stream(), late.get(), wrong.get());
  CHECK(std::isnan(wrong.host()[0]));  // nothing made the compute stream wait
  synchronize();                       // the copy stream still reads what is freed now
}

TEST_CASE("emulator: a captured graph repeats its work on what memory then holds") {
  const DeviceArray<float> x(ramp(64)), y(64), z(64);
  Graph graph;
  graph.begin();
  start(reverse_kernel<false>, 1, 64, 0, x.get(), y.get());
  start(reverse_kernel<false>, 1, 64, 0, y.get(), z.get());
  graph.end();
  CHECK(std::isnan(z.host()[0]));  // captured, not run
  graph.launch();
  CHECK(z.host() == ramp(64));
  const std::vector<float> other(64, 2.5f);
  copy(x.get(), Device::cuda, other.data(), Device::cpu, 256, compute_stream());
  graph.launch();
  CHECK(z.host() == other);
  check_fault(
      [&] {
        Graph bad;
        bad.begin();
        synchronize(compute_stream());
      },
      {"cudaStreamSynchronize", "cudaErrorStreamCaptureUnsupported", "runtime.cu:"});
}

TEST_CASE("emulator: refused launches and allocations say why") {
  check_fault([] { start(divergent_kernel, 1, 2048, 0); }, {"cudaErrorInvalidConfiguration", "launch.cuh"});
  check_fault([] { start(write_dynamic_kernel, 1, 1, 300 << 10, 0); },
              {"asks for 307200 bytes of shared memory", "at most 232448 on this device"});
  emulator::set_memory_limit(1 << 20);
  CHECK(device_allocate(2 << 20) == nullptr);
  emulator::set_memory_limit(size_t{16} << 30);
}

// d = a · b of (16, 8) by (8, 8), with a(i, k) = 16 k + i and b(k, j) = k − j.
__global__ void tf32_kernel(float* d) {
  const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = round_tf32(static_cast<float>(16 * (t + i / 2 * 4) + g + i % 2 * 8));
  for (int i = 0; i < 2; ++i) b[i] = round_tf32(static_cast<float>(t + 4 * i - g));
  float sum[4] = {};
  multiply_tf32(sum, a, b);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = sum[i];
}

TEST_CASE("emulator: tf32 fragments multiply") {
  const DeviceArray<float> d(128);
  start(tf32_kernel, 1, 32, 0, d.get());
  const std::vector<float> got = d.host();
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      int sum = 0;
      for (int k = 0; k < 8; ++k) sum += (16 * k + i) * (k - j);
      CHECK(got[i * 8 + j] == static_cast<float>(sum));
    }
}

// d = a · b of (16, 16) by (16, 8), through shared memory.
__global__ void fragments_kernel(const BFloat16* a, const BFloat16* b, float* d) {
  GESTALT_SHARED(BFloat16, rows, [16 * 16]);
  GESTALT_SHARED(BFloat16, columns, [16 * 8]);
  const int lane = threadIdx.x;
  for (int i = lane; i < 256; i += 32) rows[i] = a[i];
  for (int i = lane; i < 128; i += 32) columns[i] = b[i];
  __syncwarp();
  uint32_t fa[4], fb[2];
  // Matrices in the order of the registers: rows 0-7 and 8-15 of columns 0-7, then of columns 8-15.
  load_matrix(fa, &rows[(lane % 16) * 16 + lane / 16 * 8]);
  load_matrix_transposed(fb, &columns[(lane % 16) * 8]);
  float sum[4] = {};
  multiply_bf16(sum, fa, fb);
  for (int i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sum[i];
}

TEST_CASE("emulator: matrix fragments multiply") {
  std::vector<BFloat16> a(256), b(128);
  for (int i = 0; i < 256; ++i) a[i] = static_cast<float>(i % 17 - 8);
  for (int i = 0; i < 128; ++i) b[i] = static_cast<float>(i % 13 - 6);
  const DeviceArray<BFloat16> da(a), db(b);
  const DeviceArray<float> d(128);
  start(fragments_kernel, 1, 32, 0, da.get(), db.get(), d.get());
  const std::vector<float> got = d.host();
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[i * 16 + k] * b[k * 8 + j];
      CHECK(got[i * 8 + j] == sum);
    }
}

}  // namespace gestalt::kernels::cuda
