// Where the time of a step goes: switching phases and reading the totals.
#include "engine/run/phase_clock.h"

#include <algorithm>

#include "kernels/launch.h"
#if GESTALT_WITH_CUDA
#include "kernels/cuda/runtime.h"
#endif

namespace gestalt {

PhaseClock::PhaseClock(std::vector<std::string> names) : names_(std::move(names)), seconds_(names_.size(), 0.0) {}

void PhaseClock::enter(size_t phase) {
  check(phase < names_.size(), "[phase clock] got phase {}, expected one of {}", phase, names_.size());
  const Clock::time_point now = Clock::now();
  if (current_ != none) end(now);
  current_ = phase;
  entered_ = now;
#if GESTALT_WITH_CUDA
  kernels::cuda::push_range(names_[phase].c_str());
#endif
}

void PhaseClock::leave() {
  if (current_ == none) return;
  end(Clock::now());
}

void PhaseClock::end(Clock::time_point now) {
  seconds_[current_] += std::chrono::duration<double>(now - entered_).count();
  current_ = none;
#if GESTALT_WITH_CUDA
  kernels::cuda::pop_range();
#endif
}

double PhaseClock::milliseconds_per_step(size_t phase) const {
  return steps_ > 0 ? seconds_.at(phase) * 1e3 / static_cast<double>(steps_) : 0.0;
}

void PhaseClock::reset() {
  leave();
  std::fill(seconds_.begin(), seconds_.end(), 0.0);
  steps_ = 0;
}

}  // namespace gestalt
