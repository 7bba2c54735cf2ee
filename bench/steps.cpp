// Whole training steps of every method in Google Benchmark, each arrow of the flow alone and all together.
#include <benchmark/benchmark.h>

#include "bench/commands.h"
#include "bench/machine.h"

namespace gestalt::bench {
namespace {

// From loader and augmentation to the update, as in training.
void run_step(benchmark::State& state, const std::string& name, DType dtype) {
  const std::unique_ptr<Workload> work =
      make_workload({.name = name, .dtype = dtype, .feed = true, .arrows = true, .fields = {}});
  work->step(), work->step();
  work->arrows();
  for (auto _ : state) work->step();
  for (const auto& [arrow, ms] : work->arrows()) state.counters[arrow + "_ms"] = ms;
  state.counters[work->item + "/s"] = benchmark::Counter(work->items, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

void register_steps() {
  for (const WorkloadEntry& entry : training_workloads())
    for (DType dtype : {DType::f32, DType::bf16})
      benchmark::RegisterBenchmark(("step/" + entry.name + "/" + std::string(name(dtype))).c_str(),
                                   [name = entry.name, dtype](benchmark::State& s) { run_step(s, name, dtype); })
          ->UseRealTime()
          ->MinTime(3)
          ->Unit(benchmark::kMillisecond);
}

}  // namespace gestalt::bench
