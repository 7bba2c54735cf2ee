// Where the time of a step goes: switching phases and reading the totals.
#include "engine/run/phase_clock.h"

#include <vector>

#include "kernels/launch.h"
#if GESTALT_WITH_CUDA
#include "kernels/cuda/runtime.h"
#endif

namespace gestalt {
namespace {

constexpr size_t no_phase = phase_names.size();

}  // namespace

#if GESTALT_WITH_CUDA

struct PhaseClock::OnDevice {
  kernels::cuda::Timeline timeline;
  std::vector<size_t> entered;  // the phase that begins at each of its marks
};

void PhaseClock::follow_device() {
  if (!before_reading_ && !device_) device_ = std::make_unique<OnDevice>();
}

void PhaseClock::mark(size_t phase) {
  if (!device_ || !device_->timeline.mark()) return;
  device_->entered.push_back(phase);
  if (device_->entered.size() >= 1024) collect();
}

void PhaseClock::collect() const {
  if (!device_) return;
  std::vector<size_t>& entered = device_->entered;
  const std::vector<double> milliseconds = device_->timeline.read();
  for (size_t i = 0; i < milliseconds.size(); ++i)
    if (entered[i] != no_phase) seconds_[entered[i]] += milliseconds[i] / 1e3;
  entered.erase(entered.begin(), entered.begin() + static_cast<int64_t>(milliseconds.size()));
}

#else

struct PhaseClock::OnDevice {};

void PhaseClock::follow_device() {}
void PhaseClock::mark(size_t) {}
void PhaseClock::collect() const {}

#endif

PhaseClock::PhaseClock(void (*before_reading)()) : before_reading_(before_reading) {}
PhaseClock::~PhaseClock() { leave(); }

PhaseClock::Clock::time_point PhaseClock::now() const {
  if (before_reading_) before_reading_();
  return Clock::now();
}

void PhaseClock::enter(Phase phase) {
  const Clock::time_point time = now();
  if (running_) end(time);
  current_ = phase;
  entered_ = time;
  running_ = true;
  mark(static_cast<size_t>(phase));
#if GESTALT_WITH_CUDA
  kernels::cuda::push_range(phase_names[static_cast<size_t>(phase)].c_str());
#endif
}

void PhaseClock::leave() {
  if (!running_) return;
  end(now());
  mark(no_phase);
}

void PhaseClock::end(Clock::time_point time) {
  if (!device_) seconds_[static_cast<size_t>(current_)] += std::chrono::duration<double>(time - entered_).count();
  running_ = false;
#if GESTALT_WITH_CUDA
  kernels::cuda::pop_range();
#endif
}

double PhaseClock::seconds(Phase phase) const {
  collect();
  return seconds_[static_cast<size_t>(phase)];
}

double PhaseClock::milliseconds_per_step(Phase phase) const {
  return steps_ > 0 ? seconds(phase) * 1e3 / static_cast<double>(steps_) : 0.0;
}

void PhaseClock::reset() {
  leave();
  collect();
  seconds_.fill(0);
  steps_ = 0;
}

}  // namespace gestalt
