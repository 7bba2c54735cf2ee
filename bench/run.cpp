// `gestalt_bench run`: times one workload, round by round, and prints a line of JSON for each.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <iostream>
#include <map>

#include "bench/commands.h"
#include "bench/device_clock.h"
#include "bench/machine.h"
#include "engine/run/json.h"
#include "engine/tensor/allocator.h"
#include "kernels/cpu/team.h"

namespace gestalt::bench {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

struct RoundOptions {
  double seconds = 2;
  int64_t least = 3, warmup = 0;  // steps
  int threads = 0;
  bool serve = false;
};

// Adds up what the launches of a step cost.
class CostSum : public kernels::LaunchObserver {
 public:
  void begin(const kernels::LaunchInfo& launch) override {
    const kernels::Cost cost = launch.cost();
    sum.flops += cost.flops, sum.bytes += cost.bytes;
  }
  void end(Stream) override {}
  kernels::Cost sum;
};

kernels::Cost cost_of_step(Workload& work) {
  CostSum counter;
  const Observing observing(counter);
  work.step();
  return counter.sum;
}

Json round(Workload& work, const RoundOptions& options, double before_mib) {
  std::vector<double> ms, device_ms;
  DeviceClock clock(work.device);
  const Clock::time_point start = Clock::now();
  while (static_cast<int64_t>(ms.size()) < options.least || seconds_since(start) < options.seconds) {
    const Clock::time_point begin = Clock::now();
    clock.begin();
    work.enqueue();
    clock.end();
    synchronize(work.device);
    ms.push_back(seconds_since(begin) * 1e3);
    if (clock.runs()) device_ms.push_back(clock.milliseconds());
  }
  check(std::isfinite(work.loss()), "[run] the loss became {}", work.loss());
  Json line{{"ms", ms}, {"peak_mib", peak_memory_mib() - before_mib}};
  if (clock.runs()) line["device_ms"] = device_ms;
  line["tensors_mib"] = static_cast<double>(allocator_stats(work.device).peak) / 1048576;
  for (const auto& [name, value] : work.arrows()) line["arrows_ms"][name] = value;
  return line;
}

void print(const Json& line) { std::cout << line.dump() << std::endl; }

void run(const WorkloadOptions& what, RoundOptions options) {
  if (options.threads > 0) kernels::cpu::set_team_size(options.threads);
  reset_peak_memory();
  double before = memory_mib();
  const std::unique_ptr<Workload> work = make_workload(what);
  if (work->parameters == 0) {  // of an op alone, what its inputs take is not its own
    release_cached(Device::cpu);
    reset_peak_memory();
    before = memory_mib();
  }
  const kernels::Cost cost = cost_of_step(*work);
  // On CUDA a training step's third is the one that is captured.
  const int64_t warmup = options.warmup > 0 ? options.warmup : what.device == Device::cuda ? 4 : 2;
  for (int64_t i = 1; i < warmup; ++i) work->step();
  work->arrows();
  print({{"workload", what.name},
         {"dtype", name(what.dtype)},
         {"batch", work->batch},
         {"size", work->size},
         {"parameters", work->parameters},
         {"items", work->items},
         {"item", work->item},
         {"gflop", cost.flops / 1e9},
         {"gbyte", cost.bytes / 1e9},
         {"threads", kernels::cpu::team_size()}});
  if (!options.serve) return print(round(*work, options, before));
  for (std::string line; std::getline(std::cin, line);) {
    options.seconds = std::stod(line);
    print(round(*work, options, before));
  }
}

}  // namespace

std::shared_ptr<WorkloadOptions> add_workload_flags(CLI::App& command) {
  const auto what = std::make_shared<WorkloadOptions>();
  command.add_option("workload", what->name, "what to run; see 'gestalt_bench list'")->required();
  command.add_option("--dtype", what->dtype, "f32 or bf16")
      ->transform(CLI::CheckedTransformer(std::map<std::string, DType>{{"f32", DType::f32}, {"bf16", DType::bf16}}));
  command.add_option("--device", what->device, "cpu or cuda")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Device>{{"cpu", Device::cpu}, {"cuda", Device::cuda}}));
  command.add_option("--batch", what->batch, "images, windows, rows or parameters of a step; 0: the workload's own");
  command.add_option("--size", what->size, "side of the images, context or columns; 0: the workload's own");
  command.add_option("--set", what->fields,
                     "NAME=VALUE: a hyper-parameter of the step's method, as in 'gestalt pretrain'");
  return what;
}

void add_run(CLI::App& app) {
  CLI::App* command = app.add_subcommand("run", "time one workload; prints a line of JSON when ready and one a round");
  const auto what = add_workload_flags(*command);
  const auto options = std::make_shared<RoundOptions>();
  command->add_flag("--feed", what->feed, "each step's inputs come from loader and augmentation, not from memory");
  command->add_option("--seconds", options->seconds, "length of the round [2]");
  command->add_option("--least", options->least, "steps of a round, at least [3]");
  command->add_option("--warmup", options->warmup, "steps before it; 0: 2, or on cuda 4 [0]");
  command->add_option("--threads", options->threads, "threads; 0: one a core");
  command->add_flag("--arrows", what->arrows, "also the time of each part of the step, launch by launch");
  command->add_flag("--serve", options->serve, "a round for each line of standard input, which gives its seconds");
  command->callback([what, options] { run(*what, *options); });
}

}  // namespace gestalt::bench
