// Every op of the table, forward and backward, in f32 and bf16.
#include <benchmark/benchmark.h>

#include "bench/machine.h"
#include "engine/allocator.h"
#include "tests/op_table.h"

namespace gestalt::bench {
namespace {

// Cold where a real step would find it cold: the caches are swept between iterations, outside the timing.
void sweep_caches() {
  static Tensor large = Tensor::zeros({int64_t{16} << 20});
  large.fill(1);
}

void run_row(benchmark::State& state, const test::OpRow& row, DType dtype) {
  const auto& arguments = row.bench_inputs.empty() ? row.inputs : row.bench_inputs;
  std::vector<Tensor> inputs = test::draw_inputs(arguments, dtype, 5, 1, row.kinks);
  std::vector<Tensor> seeds;
  for (const Tensor& y : row.f(inputs))
    seeds.push_back(test::draw_inputs({{y.shape(), test::Argument::Kind::normal, 0, false, false}}, y.dtype(), 9)[0]);
  for (auto _ : state) {
    state.PauseTiming();
    for (Tensor& x : inputs)
      if (x.requires_grad()) x.set_grad({});
    sweep_caches();
    state.ResumeTiming();
    const std::vector<Tensor> outputs = row.f(inputs);
    if (outputs.size() == 1 && outputs[0].requires_grad()) outputs[0].backward(seeds[0]);
  }
  const double bytes = row.bench_bytes * (dtype == DType::bf16 ? 0.5 : 1);
  if (bytes > 0) {
    state.counters["GB/s"] = benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsIterationInvariantRate);
    state.counters["of_copy"] =
        benchmark::Counter(bytes / 1e9 / machine().copy_gb_per_s, benchmark::Counter::kIsIterationInvariantRate);
  }
  if (row.bench_flops > 0) {
    const double peak = dtype == DType::f32 ? machine().f32_gflop_per_s : machine().bf16_gflop_per_s;
    state.counters["GFLOP/s"] =
        benchmark::Counter(row.bench_flops / 1e9, benchmark::Counter::kIsIterationInvariantRate);
    state.counters["of_peak"] =
        benchmark::Counter(row.bench_flops / 1e9 / peak, benchmark::Counter::kIsIterationInvariantRate);
  }
}

}  // namespace

void register_kernels() {
  for (const test::OpRow& row : test::op_table()) {
    if (row.bench_inputs.empty()) continue;
    for (DType dtype : {DType::f32, DType::bf16}) {
      if (dtype == DType::bf16 && row.bf16_tolerance == 0) continue;
      benchmark::RegisterBenchmark((row.name + "/" + std::string(name(dtype))).c_str(),
                                   [&row, dtype](benchmark::State& state) { run_row(state, row, dtype); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace gestalt::bench
