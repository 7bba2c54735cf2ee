// Measuring the first steps.
#include "tasks/training/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/tensor/allocator.h"
#include "engine/tensor/device_memory.h"
#include "kernels/cpu/team.h"
#include "tasks/training/resume.h"
#include "tasks/training/text_method.h"
#include "tasks/training/training.h"

namespace gestalt {
namespace {

// Of the process, with its libraries' and the files it read: bytes; 0 where the system does not say.
int64_t most_memory_so_far() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (int64_t kib = 0; word == "VmHWM:" && status >> kib) return kib << 10;
  return 0;
}

}  // namespace

std::string RunEstimate::text() const {
  const double seconds = minutes * 60;
  const std::string time = seconds < 90   ? fmt::format("{:.0f} s", std::max(1.0, seconds))
                           : minutes < 90 ? fmt::format("{:.0f} minutes", minutes)
                                          : fmt::format("{:.1f} hours", minutes / 60);
  return fmt::format("about {} ({} of {:.3g} s) and {:.2g} GiB", time,
                     steps == 1 ? "1 step" : fmt::format("{} steps", steps), seconds_per_step,
                     static_cast<double>(memory) / (1 << 30));
}

RunEstimate measure_steps(Method& method, Feed& feed, int64_t most_steps) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); };
  const Device device = method.run.resolved_device();
  RunEstimate estimate{.data = feed.describe(), .problems = feed.problems()};
  const Clock::time_point start = Clock::now();
  reset_peak(device);
  Random random(static_cast<uint64_t>(method.run.seed));
  method.build(random);
  PhaseClock clock;
  Training training(method, feed, clock);
  estimate.parameters = parameter_count(method);
  estimate.steps = training.total_steps();
  estimate.steps_per_epoch = training.steps_per_epoch();
  double fastest = 0;  // the first step chooses algorithms and asks for memory
  for (int64_t i = 0; i < std::min(most_steps, estimate.steps) && (i < 2 || since(start) < 10); ++i) {
    const Clock::time_point began = Clock::now();
    training.step();
    synchronize(device);
    fastest = i < 2 ? since(began) : std::min(fastest, since(began));
  }
  estimate.seconds_per_step = fastest;
  // A probe encodes each image once: a sixth of an epoch, which takes two views forward and, at twice the cost, back.
  // Of text it reads what is held out, once forward.
  double share = 1.0 / 6;
  if (const auto* text = dynamic_cast<TextMethod*>(&method); text && text->tokens().validation)
    share = static_cast<double>(text->tokens().validation->count()) /
            static_cast<double>(text->tokens().training->count()) / 3;
  const int64_t epochs = estimate.steps / std::max<int64_t>(1, estimate.steps_per_epoch);
  const bool probed = method.probe && method.probe->outlook(method).possible;
  const int64_t probes = !probed ? 0 : 1 + (method.run.probe_every > 0 ? epochs / method.run.probe_every : 0);
  const double probe = static_cast<double>(estimate.steps_per_epoch) * fastest * share;
  estimate.minutes = (static_cast<double>(estimate.steps) * fastest + static_cast<double>(probes) * probe) / 60;
  estimate.memory = static_cast<int64_t>(allocator_stats(device).peak);
  if (device == Device::cpu) estimate.memory = std::max(estimate.memory, most_memory_so_far());
  return estimate;
}

RunEstimate rehearse(Method& method) {
  check_fields(method);
  replace_places(method, expand_home);
  if (method.run.threads > 0) kernels::cpu::set_team_size(static_cast<int>(method.run.threads));
  const std::unique_ptr<Feed> feed = method.open();
  return measure_steps(method, *feed);
}

}  // namespace gestalt
