// Optimizers over an arena, and their schedules.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/nn/muon.h"
#include "engine/nn/outliers.h"
#include "engine/nn/schedule.h"
#include "engine/run/fields.h"

namespace gestalt {

struct OptimizerOptions {
  std::string kind = "sgd";  // sgd, lars, adamw, muon
  double rate = 0.03;
  std::string rate_scaling = "batch";  // the rate used is rate · batch / 256; "none": it is rate
  double momentum = 0.9, decay = 5e-4;
  double decay_end = -1;   // where a cosine takes the weight decay; negative: it stays
  bool decay_all = false;  // biases and norm parameters decay too
  double trust = 0.02;     // LARS's η
  bool clip_local = false;
  double muon_momentum = 0.95;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double clip = 0;           // largest gradient norm; 0: not clipped
  bool clip_each = false;    // of each tensor's gradient by itself instead of all together
  double skip_outliers = 0;  // deviations of the gradient norm over its mean from which a step is skipped; 0: none is
  double warmup_epochs = 0;  // linear from 0
  int64_t warmup_steps = 0;  // instead of epochs, unless 0
  double final_rate = 0;     // where the cosine ends, as a fraction of the peak
  void fields(Fields& f);
};

// The learning rate of a run that makes `total_steps` updates, each of `batch` items: a linear warm-up from 0, then a
// cosine; and its weight decay.
Schedule rate_schedule(const OptimizerOptions& options, int64_t batch, int64_t steps_per_epoch, int64_t total_steps);
Schedule decay_schedule(const OptimizerOptions& options, int64_t total_steps);

class Optimizer {
 public:
  Optimizer(ParameterArena& arena, const OptimizerOptions& options);

  // One update with the arena's gradients at this learning rate and weight decay, then zero gradients. Nothing returns
  // to the host.
  void step(double rate, double decay);
  // Its two halves: what the host decides, and the work on the device, the same at each step.
  void begin_step(double rate, double decay);
  void update();
  // Between the two, with skip_outliers: whether the gradients are usual. If not, they are zeroed, and nothing else is
  // to be done. Waits for the device.
  bool admits();
  int64_t skipped() const { return outliers_ ? outliers_->found() : 0; }
  // ‖gradient‖ of the last step; waits for the device. Infinite or NaN when a gradient was.
  double gradient_norm() const;

  // What a checkpoint holds: the moments by name, the norms that outliers are told by, and how many steps were made,
  // skipped ones too.
  std::vector<std::pair<std::string, Tensor>> state();
  int64_t steps = 0;

 private:
  void measure();

  ParameterArena& arena_;
  OptimizerOptions options_;
  std::optional<Muon> muon_;
  std::optional<Outliers> outliers_;
  Tensor first_, second_;  // moments, (size)
  Tensor squared_norm_;    // (2) f64
  Tensor norms_;           // LARS and clip_each: (2·segments) f64
  StepNumber<kernels::UpdateNumbers> numbers_;
};

}  // namespace gestalt
