// Optimizers over an arena, and the learning rate as a function of the step.
#pragma once

#include <string>
#include <vector>

#include "engine/nn/arena.h"
#include "engine/run/fields.h"
#include "engine/tensor/step_number.h"

namespace gestalt {

struct OptimizerOptions {
  std::string kind = "sgd";  // sgd, lars, adamw
  double rate = 0.03;
  std::string rate_scaling = "batch";  // the rate used is rate · batch / 256; "none": it is rate
  double momentum = 0.9, decay = 5e-4;
  double trust = 0.02;  // LARS's η
  bool clip_local = false;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double clip = 0;           // largest gradient norm; 0: not clipped
  double warmup_epochs = 0;  // linear from 0
  int64_t warmup_steps = 0;  // instead of epochs, unless 0
  double final_rate = 0;     // where the cosine ends, as a fraction of the peak
  void fields(Fields& f);
};

// Linear warm-up from 0, then a cosine from `peak` to `peak · final_fraction` (Loshchilov and Hutter 2017).
struct Schedule {
  double peak = 0, final_fraction = 0;
  int64_t warmup_steps = 0, total_steps = 1;
  double at(int64_t step) const;  // step counts from 0
};

// The schedule of a run that makes `total_steps` updates, each of `batch` items.
Schedule schedule_of(const OptimizerOptions& options, int64_t batch, int64_t steps_per_epoch, int64_t total_steps);

class Optimizer {
 public:
  Optimizer(ParameterArena& arena, const OptimizerOptions& options);

  // One update with the arena's gradients at learning rate `rate`, then zero gradients. Nothing returns to the host.
  void step(double rate);
  // Its two halves: what the host decides, and the work on the device, the same at each step.
  void begin_step(double rate);
  void update();
  // ‖gradient‖ of the last step; waits for the device. Infinite or NaN when a gradient was.
  double gradient_norm() const;

  // What a checkpoint holds: the moments by name, and how many steps were made.
  std::vector<std::pair<std::string, Tensor>> state();
  int64_t steps = 0;

 private:
  ParameterArena& arena_;
  OptimizerOptions options_;
  Tensor first_, second_;  // moments, (size)
  Tensor squared_norm_;    // (2) f64
  Tensor norms_;           // LARS: (2·segments) f64
  StepNumber<kernels::UpdateNumbers> numbers_;
};

}  // namespace gestalt
