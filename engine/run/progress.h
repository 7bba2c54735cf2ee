// The line that says how far a long run is: redrawn in place on a terminal, rare and whole elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "engine/run/phase_clock.h"

namespace gestalt {

// What a progress line is made from.
struct ProgressPlan {
  int64_t first_step = 0;  // of this process: a resumed run does not begin at 0
  int64_t total_steps = 0;
  int64_t steps_per_epoch = 1;
  int64_t items_per_step = 0;
  std::string item = "images";  // what is counted: images or tokens
};

// "epoch 3/100  step 120/390  loss 5.1234  1560 images/s  12:34 left  data 0.1  forward 20.3 ms", of `step` done steps
// in all, at `rate` steps a second.
std::string progress_text(const ProgressPlan& plan, int64_t step, double loss, double rate, const PhaseClock& clock);

// As many of its parts, two blanks apart, as `width` has room for.
std::string shortened(const std::string& text, size_t width);

// "1:02:03", "2:03", "2 d 1:02:03".
std::string duration_text(double seconds);

// On a terminal the line is redrawn at most ten times a second; elsewhere a whole line is written each 30 seconds and
// at the end.
class ProgressLine {
 public:
  ProgressLine(const ProgressPlan& plan, std::FILE* out = stderr);
  ProgressLine(const ProgressPlan& plan, std::FILE* out, bool terminal);
  ~ProgressLine();  // leaves the last line standing

  // Whether update() would print after `step` steps: ask first, and fetch the loss from the device only then.
  bool due(int64_t step) const;
  void update(int64_t step, double loss, const PhaseClock& clock);
  // A line that stays, above the progress line.
  void line(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  void erase();
  double steps_per_second(int64_t step, Clock::time_point now);

  ProgressPlan plan_;
  std::FILE* out_;
  bool terminal_, drawn_ = false;
  Clock::time_point last_print_, last_rate_;
  int64_t last_rate_step_;
  double rate_ = 0;
};

}  // namespace gestalt
