// Numbers as functions of the step: learning rate, weight decay, a teacher's momentum, a temperature.
#pragma once

#include "engine/tensor/step_number.h"

namespace gestalt {

// A linear warm-up, if any, and what follows it.
struct Schedule {
  enum class Form { constant, cosine, linear, warm, jump };

  Form form = Form::constant;
  double start = 0;          // where the warm-up begins
  double from = 0, to = 0;   // after the warm-up, and at the end
  int64_t warmup_steps = 0;  // the s-th of them, from 0, gives start + (from − start)·(s + 1) / warmup_steps
  int64_t steps = 1;         // in all, warm-up included; `to` from then on

  double at(int64_t step) const;  // step counts from 0

  static Schedule constant(double value);
  // Half a cosine (Loshchilov and Hutter 2017, equation 5, without restarts).
  static Schedule cosine(double from, double to, int64_t steps, int64_t warmup_steps = 0, double start = 0);
  static Schedule linear(double from, double to, int64_t steps);
  // min(limit, 1 − 1/(t + 1)): a true mean of the first steps, then a moving average (Tarvainen and Valpola 2017).
  static Schedule warm(double limit);
  // `before` until `step`, `after` from it on.
  static Schedule jump(double before, double after, int64_t step);
};

// A scheduled number where kernels find it, so that captured graphs see each step's.
class Scheduled {
 public:
  Schedule schedule;

  void begin_step(int64_t step, Device device);
  // Both throw Error before the first begin_step().
  kernels::Varying<double> now() const;
  double value() const;  // the same, on the host

 private:
  StepNumber<double> number_;
  double value_ = 0;
  bool begun_ = false;
};

}  // namespace gestalt
