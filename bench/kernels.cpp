// Every op of the test table, forward and backward, and the kernels that are no ops, against the machine's ceilings.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>

#include "bench/commands.h"
#include "bench/kernel_cases.h"
#include "bench/machine.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/random.h"
#include "tests/engine/ops/op_table.h"

namespace gestalt::bench {
namespace {

// Steps find their operands in memory, not in the cache: it is swept between iterations, outside the timing.
void sweep_caches() {
  static Tensor large = Tensor::zeros({int64_t{16} << 20});
  large.fill(1);
}

// Times `work` cold, iteration by iteration. `bytes` and `flops` are what it has to move and to compute at least.
void time_cold(benchmark::State& state, double bytes, double flops, DType dtype, const std::function<void()>& prepare,
               const std::function<void()>& work) {
  prepare();
  work();
  std::vector<double> times;
  for (auto _ : state) {
    prepare();
    sweep_caches();
    const auto start = std::chrono::steady_clock::now();
    work();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    state.SetIterationTime(times.back());
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  state.counters["median_us"] = median * 1e6;
  state.counters["min_us"] = times.front() * 1e6;
  state.counters["max_us"] = times.back() * 1e6;
  if (bytes > 0) state.counters["GB/s"] = bytes / median / 1e9;
  if (flops > 0) state.counters["GFLOP/s"] = flops / median / 1e9;
  if (bytes + flops > 0) state.counters["of_floor"] = machine().floor_seconds(bytes, flops, dtype) / median;
}

// Fresh draws as the row asks for them. The table's own draw goes by element through f64, too slow for these sizes.
std::vector<Tensor> draw_inputs(const std::vector<test::Argument>& arguments, DType dtype) {
  std::vector<Tensor> inputs;
  Random random(11);
  for (const test::Argument& a : arguments) {
    if (a.kind == test::Argument::Kind::index) {
      const std::vector<float> u = random.uniform(a.shape, 0, static_cast<double>(a.limit)).values();
      std::vector<int32_t> index(u.size());
      std::transform(u.begin(), u.end(), index.begin(),
                     [&](float v) { return std::min(static_cast<int32_t>(v), static_cast<int32_t>(a.limit - 1)); });
      inputs.push_back(Tensor::from(std::span<const int32_t>(index), a.shape));
      continue;
    }
    const bool positive = a.kind == test::Argument::Kind::positive;
    const Tensor draw = positive ? random.uniform(a.shape, 0.1, 2) : random.normal(a.shape, 0, 1);
    inputs.push_back(draw.to(a.parameter ? accumulator_of(dtype) : dtype).detach());
    inputs.back().require_grad(a.differentiable);
  }
  return inputs;
}

void run_row(benchmark::State& state, const test::OpRow& row, DType dtype) {
  std::vector<Tensor> inputs = draw_inputs(row.bench_inputs, dtype);
  std::vector<Tensor> seeds;
  for (const Tensor& y : row.f(inputs))
    seeds.push_back(draw_inputs({test::activation(y.shape())}, y.dtype())[0].detach());
  const auto prepare = [&] {
    for (Tensor& x : inputs)
      if (x.requires_grad()) x.set_grad({});
  };
  const auto work = [&] {
    const std::vector<Tensor> outputs = row.f(inputs);
    if (!outputs[0].requires_grad()) return;
    if (outputs.size() == 1) return outputs[0].backward(seeds[0]);
    record("bench", Tensor::zeros({1}), outputs, [&](const Tensor&) -> Grads { return seeds; }).backward();
  };
  const double halved = (row.bench_bytes - row.bench_fixed_bytes) * (dtype == DType::bf16 ? 0.5 : 1);
  time_cold(state, row.bench_fixed_bytes + halved, row.bench_flops, dtype, prepare, work);
}

void add(const std::string& name, DType dtype, int iterations, std::function<void(benchmark::State&)> run) {
  benchmark::RegisterBenchmark((name + "/" + std::string(gestalt::name(dtype))).c_str(), std::move(run))
      ->UseManualTime()
      ->Iterations(iterations)
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

void register_kernels(int iterations) {
  for (const test::OpRow& row : test::op_table()) {
    if (row.bench_inputs.empty()) continue;
    // What has parameters alone computes in f32 whatever the dtype.
    const bool activations = std::any_of(row.bench_inputs.begin(), row.bench_inputs.end(), [](const test::Argument& a) {
      return !a.parameter && a.kind != test::Argument::Kind::index;
    });
    for (DType dtype : {DType::f32, DType::bf16})
      if (dtype == DType::f32 || (row.bf16_tolerance > 0 && activations))
        add(row.name, dtype, iterations, [&row, dtype](benchmark::State& s) { run_row(s, row, dtype); });
  }
  for (const KernelCase& which : kernel_cases())
    for (DType dtype : which.dtypes)
      add(which.name, dtype, iterations, [&which, dtype](benchmark::State& state) {
        const KernelWork work = which.make(dtype);
        time_cold(
            state, work.bytes, work.flops, dtype, [] {}, work.run);
      });
}

}  // namespace gestalt::bench
