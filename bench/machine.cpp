// Measuring the ceilings, and reading the process's memory.
#include "bench/machine.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include "engine/ops/product.h"
#include "engine/random.h"
#include "kernels/elementwise.h"

namespace gestalt::bench {
namespace {

// The shortest of `repeats` runs, in seconds.
template <class F>
double shortest(int repeats, F&& f) {
  double best = 1e9;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

double product_rate(DType dtype) {
  constexpr int64_t n = 2048;
  Random random(1);
  const Tensor a = random.normal({n, n}, 0, 1).to(dtype), b = random.normal({n, n}, 0, 1).to(dtype);
  return 2.0 * n * n * n / shortest(8, [&] { matmul(a, b); }) / 1e9;
}

double copy_rate() {
  constexpr int64_t n = int64_t{64} << 20;  // far larger than any cache
  const Tensor from = Random(2).uniform({n}, 0, 1);
  Tensor to = Tensor::empty({n});
  to.fill(0);
  return 2.0 * 4 * n /
         shortest(8,
                  [&] {
                    kernels::launch(kernels::Convert{from.in(), to.out(), n}, from.stream());
                  }) /
         1e9;
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
  static const Machine measured{copy_rate(), product_rate(DType::f32), product_rate(DType::bf16)};
  return measured;
}

}  // namespace gestalt::bench
