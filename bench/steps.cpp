// Whole training steps, phase by phase, on random images or tokens.
#include <benchmark/benchmark.h>

#include <chrono>

#include "bench/machine.h"
#include "engine/allocator.h"
#include "engine/ops/contrast.h"
#include "engine/optimizer.h"
#include "models/heads.h"
#include "models/resnet.h"

namespace gestalt::bench {
namespace {

// The model of torch_peers.py's simclr-r18: ResNet-18 with the CIFAR stem and a 512-2048-128 head.
struct SimclrModel : Module {
  Random random{1};
  std::unique_ptr<Encoder> encoder = make_encoder({.model = "resnet18", .stem = "cifar", .width = 64}, 32, random);
  MlpHead head{512, 2048, 128, 2, true, random};
  void visit(Visitor& v) override {
    v("encoder", *encoder);
    v("head", head);
  }
};

// Multiply-adds of one 32² image through ResNet-18 with the CIFAR stem, counted from its shapes: 555.4 M.
constexpr double flops_per_view = 2 * 555.4e6 * 3;  // forward, and backward to inputs and to weights

void simclr_step(benchmark::State& state) {
  const int64_t batch = state.range(0);
  const DType dtype = state.range(1) ? DType::bf16 : DType::f32;
  SimclrModel model;
  ParameterArena arena(model, Device::cpu, dtype);
  Optimizer optimizer(arena, {.kind = "sgd", .momentum = 0.9, .decay = 1e-4});
  const Tensor views = Random(2).uniform({2 * batch, 32, 32, 3}, 0, 1).to(dtype);
  double forward = 0, backward = 0, update = 0;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto add = [](double& sum, auto from, auto to) { sum += std::chrono::duration<double, std::milli>(to - from).count(); };
  reset_peak(Device::cpu);
  for (auto _ : state) {
    const auto t0 = now();
    const Tensor loss = nt_xent(model.head(model.encoder->forward(views, true), true), 0.5);
    const auto t1 = now();
    loss.backward();
    const auto t2 = now();
    optimizer.step(0.1);
    const auto t3 = now();
    add(forward, t0, t1), add(backward, t1, t2), add(update, t2, t3);
  }
  const double peak = dtype == DType::f32 ? machine().f32_gflop_per_s : machine().bf16_gflop_per_s;
  const double gflop = flops_per_view * 2 * static_cast<double>(batch) / 1e9;
  const double per_step = 1.0 / static_cast<double>(state.iterations());
  state.counters["forward_ms"] = forward * per_step;
  state.counters["backward_ms"] = backward * per_step;
  state.counters["optimizer_ms"] = update * per_step;
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GFLOP/s"] = benchmark::Counter(gflop, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_peak"] = benchmark::Counter(gflop / peak, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak_MiB"] = static_cast<double>(allocator_stats(Device::cpu).peak) / 1048576;
}
BENCHMARK(simclr_step)
    ->ArgNames({"batch", "bf16"})
    ->Args({64, 0})
    ->Args({64, 1})
    ->Args({256, 0})
    ->Args({256, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace gestalt::bench
