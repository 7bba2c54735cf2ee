// Where the time of a step goes: one running total for each named phase.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace gestalt {

// Phases follow each other: entering one leaves the one before. In a CUDA build a phase is also a range in a profiler's
// timeline. On CUDA a phase is the host's time in it, unless
// launches are synchronous. A switch costs one reading of the clock, some 25 ns.
class PhaseClock {
 public:
  explicit PhaseClock(std::vector<std::string> names);
  ~PhaseClock() { leave(); }
  PhaseClock(const PhaseClock&) = delete;

  void enter(size_t phase);  // index into names()
  void leave();              // time until the next enter() belongs to no phase
  void end_step() { leave(), ++steps_; }

  const std::vector<std::string>& names() const { return names_; }
  double seconds(size_t phase) const { return seconds_[phase]; }
  // Milliseconds a step in `phase` since the last reset().
  double milliseconds_per_step(size_t phase) const;
  void reset();

 private:
  using Clock = std::chrono::steady_clock;
  void end(Clock::time_point now);
  static constexpr size_t none = static_cast<size_t>(-1);

  std::vector<std::string> names_;
  std::vector<double> seconds_;
  Clock::time_point entered_{};
  size_t current_ = none;
  int64_t steps_ = 0;
};

}  // namespace gestalt
