// The forms of schedules, and setting a scheduled number.
#include "engine/nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gestalt {

double Schedule::at(int64_t step) const {
  if (step < warmup_steps)
    return start + (from - start) * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  const double span = static_cast<double>(std::max<int64_t>(1, steps - warmup_steps));
  const double t = std::min(1.0, static_cast<double>(step - warmup_steps) / span);
  switch (form) {
    case Form::constant:
      return from;
    case Form::cosine:
      return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * t));
    case Form::linear:
      return t < 1 ? from + (to - from) * t : to;
    case Form::warm:
      return std::min(to, 1 - 1 / static_cast<double>(step + 1));
    case Form::jump:
      return step < steps ? from : to;
  }
  fail("[schedule] got form {}, expected one of Schedule::Form", static_cast<int>(form));
}

Schedule Schedule::constant(double value) { return {.start = value, .from = value, .to = value}; }

Schedule Schedule::cosine(double from, double to, int64_t steps, int64_t warmup_steps, double start) {
  return {.form = Form::cosine, .start = start, .from = from, .to = to, .warmup_steps = warmup_steps, .steps = steps};
}

Schedule Schedule::linear(double from, double to, int64_t steps) {
  return {.form = Form::linear, .start = from, .from = from, .to = to, .steps = steps};
}

Schedule Schedule::warm(double limit) { return {.form = Form::warm, .to = limit}; }

Schedule Schedule::jump(double before, double after, int64_t step) {
  return {.form = Form::jump, .start = before, .from = before, .to = after, .steps = step};
}

void Scheduled::begin_step(int64_t step, Device device) {
  value_ = schedule.at(step);
  number_.set(value_, device);
  begun_ = true;
}

kernels::Varying<double> Scheduled::now() const {
  value();
  return number_.get();
}

double Scheduled::value() const {
  check(begun_, "[schedule] got a reader before the first step; call begin_step first");
  return value_;
}

}  // namespace gestalt
