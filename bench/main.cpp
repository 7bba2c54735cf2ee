// The benchmark program: prints the machine's ceilings, then Google Benchmark's table.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "bench/machine.h"

namespace gestalt::bench {
void register_kernels();
}

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  gestalt::bench::register_kernels();
  const gestalt::bench::Machine& m = gestalt::bench::machine();
  fmt::print(stderr, "ceilings: copy {:.1f} GB/s, f32 product {:.0f} GFLOP/s, bf16 product {:.0f} GFLOP/s\n",
             m.copy_gb_per_s, m.f32_gflop_per_s, m.bf16_gflop_per_s);
  benchmark::RunSpecifiedBenchmarks();
}
