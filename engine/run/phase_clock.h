// Where the time of a training step goes: one running total for each phase.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

namespace gestalt {

// The parts of a step that are timed, in the order of the flow.
enum class Phase : size_t { data, augment, forward, backward, optimizer };
inline const std::array<std::string, 5> phase_names{"data", "augment", "forward", "backward", "optimizer"};

// Phases follow each other: entering one leaves the one before. In a CUDA build a phase is also a range in a profiler's
// timeline. On CUDA a phase is the host's time in it, unless launches are synchronous or the clock waits. A switch
// costs one reading of the clock, some 25 ns.
class PhaseClock {
 public:
  // `before_reading` is called at each switch, for example to wait for the device.
  explicit PhaseClock(void (*before_reading)() = nullptr) : before_reading_(before_reading) {}
  ~PhaseClock() { leave(); }
  PhaseClock(const PhaseClock&) = delete;

  void enter(Phase phase);
  void leave();  // time until the next enter() belongs to no phase
  void end_step() { leave(), ++steps_; }

  Phase current() const { return current_; }  // the last one entered
  double seconds(Phase phase) const { return seconds_[static_cast<size_t>(phase)]; }
  // Milliseconds a step in `phase` since the last reset().
  double milliseconds_per_step(Phase phase) const;
  void reset();

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point now() const;
  void end(Clock::time_point now);

  void (*before_reading_)();
  std::array<double, phase_names.size()> seconds_{};
  Clock::time_point entered_{};
  Phase current_ = Phase::data;
  bool running_ = false;
  int64_t steps_ = 0;
};

}  // namespace gestalt
