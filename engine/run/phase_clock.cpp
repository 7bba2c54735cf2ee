// Where the time of a step goes: switching phases and reading the totals.
#include "engine/run/phase_clock.h"

#include "kernels/launch.h"
#if GESTALT_WITH_CUDA
#include "kernels/cuda/runtime.h"
#endif

namespace gestalt {

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
#if GESTALT_WITH_CUDA
  kernels::cuda::push_range(phase_names[static_cast<size_t>(phase)].c_str());
#endif
}

void PhaseClock::leave() {
  if (running_) end(now());
}

void PhaseClock::end(Clock::time_point time) {
  seconds_[static_cast<size_t>(current_)] += std::chrono::duration<double>(time - entered_).count();
  running_ = false;
#if GESTALT_WITH_CUDA
  kernels::cuda::pop_range();
#endif
}

double PhaseClock::milliseconds_per_step(Phase phase) const {
  return steps_ > 0 ? seconds(phase) * 1e3 / static_cast<double>(steps_) : 0.0;
}

void PhaseClock::reset() {
  leave();
  seconds_.fill(0);
  steps_ = 0;
}

}  // namespace gestalt
