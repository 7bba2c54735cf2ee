// `gestalt_bench profile`: which kernels take what share of a step, and how far each is from its floor, by the clock
// and the ceilings of the device that runs it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "bench/commands.h"
#include "bench/device_clock.h"
#include "bench/ledger.h"
#include "bench/machine.h"
#include "engine/tensor/device_memory.h"
#include "kernels/cpu/team.h"

namespace gestalt::bench {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

class Profiler : public kernels::LaunchObserver {
 public:
  Profiler(const Workload& work, DType dtype, const Machine& ceilings)
      : work_(work), dtype_(dtype), ceilings_(ceilings), clock_(work.device) {}
  void begin(const kernels::LaunchInfo& launch) override {
    const kernels::Cost cost = launch.cost();
    at_ = &profile[{work_.phase(), launch.kernel, cost.shape}];
    at_->add({1, 0, cost.flops, cost.bytes, ceilings_.floor_seconds(cost.bytes, cost.flops, dtype_)});
    synchronize(launch.stream.device);
    start_ = Clock::now();
    clock_.begin();
  }
  void end(Stream stream) override {
    clock_.end();
    synchronize(stream.device);
    at_->seconds += clock_.runs() ? clock_.milliseconds() / 1e3 : seconds_since(start_);
  }
  Ledger profile;

 private:
  const Workload& work_;
  DType dtype_;
  const Machine& ceilings_;
  DeviceClock clock_;
  Spent* at_ = nullptr;
  Clock::time_point start_;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// Steps for about `seconds`, at least three; how long each took.
std::vector<double> time_steps(Workload& work, double seconds) {
  std::vector<double> times;
  for (const Clock::time_point start = Clock::now(); times.size() < 3 || seconds_since(start) < seconds;) {
    const Clock::time_point begin = Clock::now();
    work.step();
    times.push_back(seconds_since(begin));
  }
  return times;
}

// The columns that every table ends with.
std::string columns(const Spent& s, double steps, double step_seconds) {
  return fmt::format("{:.4g} | {:.3f} | {:.1f} | {} | {} | {} |", s.calls / steps, s.seconds * 1e3 / steps,
                     100 * s.seconds / steps / step_seconds, cell(s.bytes / s.seconds / 1e9, 1),
                     cell(s.flops / s.seconds / 1e9, 0), cell(s.floor / s.seconds, 2));
}

constexpr const char* heads = "calls | ms | % of step | GB/s | GFLOP/s | of floor |";
constexpr const char* rules = " --- | --- | --- | --- | --- | --- |";

struct ProfileOptions {
  double seconds = 3;
  int threads = 0, shapes = 16;
  bool quick = false;
};

void profile(WorkloadOptions what, const ProfileOptions& options) {
  if (options.threads > 0) kernels::cpu::set_team_size(options.threads);
  const bool on_cpu = what.device == Device::cpu;
  const Machine ceilings = on_cpu ? machine() : measure_device(options.quick);
  what.graph = false;
  const std::unique_ptr<Workload> work = make_workload(what);
  work->step(), work->step();
  const double step_seconds = median(time_steps(*work, options.seconds));
  Profiler profiler(*work, what.dtype, ceilings);
  double steps = 0;
  {
    const Observing observing(profiler);
    steps = static_cast<double>(time_steps(*work, options.seconds).size());
  }
  const Ledger& all = profiler.profile;
  const auto by_kernel = joined(all, [](const Key& k) { return Key{k.phase, k.kernel, ""}; });
  Spent total;
  for (const auto& [key, spent] : by_kernel) total.add(spent);
  const double outside = std::max(0.0, step_seconds - total.seconds / steps);

  fmt::print("### {}, {}, batch {}, size {}, {}: {:.2f} ms a step\n\n", what.name, name(what.dtype), work->batch,
             work->size, on_cpu ? fmt::format("{} threads", kernels::cpu::team_size()) : cuda_report().text,
             step_seconds * 1e3);
  fmt::print("Ceilings: copy {:.0f} GB/s, {} product {:.0f} GFLOP/s.\n\n", ceilings.copy_gb_per_s, name(what.dtype),
             ceilings.gflop_per_s(what.dtype));
  fmt::print("| kernel | phase | {}\n| --- | --- |{}\n", heads, rules);
  for (const auto& [key, spent] : by_kernel)
    fmt::print("| {} | {} | {}\n", key.kernel, key.phase, columns(spent, steps, step_seconds));
  fmt::print("| all kernels | | {}\n", columns(total, steps, step_seconds));
  fmt::print("| between kernels | | | {:.3f} | {:.1f} | | | |\n\n", outside * 1e3, 100 * outside / step_seconds);

  const auto by_shape = joined(all, [](const Key& k) { return k; });
  fmt::print("The {} longest by shape:\n\n| kernel | shape | {}\n| --- | --- |{}\n", options.shapes, heads, rules);
  int left = options.shapes;
  for (const auto& [key, spent] : by_shape)
    if (!key.shape.empty() && left-- > 0)
      fmt::print("| {} | {} | {}\n", key.kernel, key.shape, columns(spent, steps, step_seconds));
  fmt::print("\n");
}

}  // namespace

void add_profile(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("profile", "which kernels take what share of a workload's step, as markdown tables");
  command->footer(
      "'of floor' is the time that the kernel's traffic and arithmetic take at the measured copy and product "
      "rates of the device that runs it, over the time it took; above 1, the data was in the cache. Kernels without "
      "GFLOP/s only "
      "move memory.");
  const auto what = add_workload_flags(*command);
  const auto options = std::make_shared<ProfileOptions>();
  command->add_option("--seconds", options->seconds, "of steps to time, and again to profile [3]");
  command->add_option("--threads", options->threads, "threads; 0: one a core");
  command->add_option("--shapes", options->shapes, "how many shapes to list [16]");
  command->add_flag("--quick", options->quick, "with --device cuda: ceilings of small sizes, for a smoke test");
  command->callback([=] { profile(*what, *options); });
}

}  // namespace gestalt::bench
