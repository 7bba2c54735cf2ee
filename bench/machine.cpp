// Measuring the ceilings, and reading the process's memory.
#include "bench/machine.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include "bench/device_clock.h"
#include "engine/ops/product.h"
#include "engine/tensor/random.h"
#include "kernels/elementwise.h"

namespace gestalt::bench {
namespace {

// The shortest of eight runs on the device, in seconds.
template <class F>
double shortest(Device device, F&& f) {
  DeviceClock clock(device);
  double best = 1e9;
  for (int i = 0; i < 8; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, clock.runs() ? clock.milliseconds() / 1e3 : seconds);
  }
  return best;
}

double product_rate(DType dtype, Device device, int64_t n) {
  const Tensor draw = Random(1).normal({n, n}, 0, 1).to(dtype);
  const Tensor a = draw.to(device), b = draw.to(device);
  return 2.0 * static_cast<double>(n * n * n) / shortest(device, [&] { matmul(a, b); }) / 1e9;
}

// Of `n` floats, which should be far more than any cache holds, copied onto themselves: a processor reads the lines
// that it is about to overwrite elsewhere, which would be traffic that this does not count.
double copy_rate(Device device, int64_t n) {
  Tensor x = Random(2).uniform({n}, 0, 1).to(device);
  const auto copy = [&] {
    kernels::launch(
        kernels::Combine{.a = x.in(), .b = x.in(), .y = x.out(), .a_scale = 0.5, .b_scale = 0.5, .count = n},
        x.stream());
  };
  return 2.0 * 4 * static_cast<double>(n) / shortest(device, copy) / 1e9;
}

// A line of /proc/self/status in MiB.
double status_mib(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) return std::stod(line.substr(line.find_first_of("0123456789"))) / 1024;
  return 0;
}

}  // namespace

double Machine::floor_seconds(double bytes, double flops, DType dtype) const {
  return std::max(bytes / copy_gb_per_s, flops / gflop_per_s(dtype)) / 1e9;
}

double memory_mib() { return status_mib("VmRSS:"); }
double peak_memory_mib() { return status_mib("VmHWM:"); }
void reset_peak_memory() { std::ofstream("/proc/self/clear_refs") << "5"; }

const Machine& machine() {
  static const Machine measured{copy_rate(Device::cpu, int64_t{64} << 20), product_rate(DType::f32, Device::cpu, 2048),
                                product_rate(DType::bf16, Device::cpu, 2048)};
  return measured;
}

Machine measure_device(bool quick) {
  const int64_t side = quick ? 64 : 8192;
  return {copy_rate(Device::cuda, quick ? 4096 : int64_t{256} << 20), product_rate(DType::f32, Device::cuda, side),
          product_rate(DType::bf16, Device::cuda, side)};
}

}  // namespace gestalt::bench
