// Where the time of a training step goes: one running total for each phase.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace gestalt {

// The parts of a step that are timed, in the order of the flow.
enum class Phase : size_t { data, augment, forward, backward, optimizer };
inline const std::array<std::string, 5> phase_names{"data", "augment", "forward", "backward", "optimizer"};

// Phases follow each other: entering one leaves the one before. In a CUDA build a phase is also a range in a profiler's
// timeline. A phase is the host's time in it, and a switch costs one reading of the clock, some 25 ns; or, of a clock
// that follows the device, the time until the device comes to what was enqueued next.
class PhaseClock {
 public:
  // `before_reading` is called at each switch, for example to wait for the device.
  explicit PhaseClock(void (*before_reading)() = nullptr);
  ~PhaseClock();
  PhaseClock(const PhaseClock&) = delete;

  // From now on phases last as long as on the device's own clock, in a CUDA build; unless the clock waits anyway. What
  // the device has not come to is in no total yet. Phases within a captured graph are the one that it is launched in.
  void follow_device();

  void enter(Phase phase);
  void leave();  // time until the next enter() belongs to no phase
  void end_step() { leave(), ++steps_; }

  Phase current() const { return current_; }  // the last one entered
  double seconds(Phase phase) const;
  // Milliseconds a step in `phase` since the last reset().
  double milliseconds_per_step(Phase phase) const;
  void reset();

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point now() const;
  void end(Clock::time_point now);

  struct OnDevice;
  void mark(size_t phase);
  void collect() const;

  void (*before_reading_)();
  std::unique_ptr<OnDevice> device_;
  mutable std::array<double, phase_names.size()> seconds_{};
  Clock::time_point entered_{};
  Phase current_ = Phase::data;
  bool running_ = false;
  int64_t steps_ = 0;
};

}  // namespace gestalt
