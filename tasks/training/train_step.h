// TrainStep: what a training step does on the device, kernel by kernel or as two captured graphs.
#pragma once

#include "engine/tensor/graph.h"
#include "engine/tensor/step_number.h"
#include "tasks/training/task.h"

namespace gestalt {

// A step is begin(), a call of accumulate() for each of its batches, and finish(). With `graph`, on CUDA and where the
// task allows it, the first steps run kernel by kernel, so that libraries have chosen their algorithms and got their
// workspace; then forward and backward pass become one graph, optimizer and after_step another. Results are the same
// bits either way.
class TrainStep {
 public:
  TrainStep(Task& task, ParameterArena& arena, Optimizer& optimizer, PhaseClock& clock, bool graph);

  void begin(const StepInfo& info);
  // Adds the gradients of loss / run.accumulate. The features are overwritten by the next call.
  LossOutput accumulate(const Inputs& inputs, const StepInfo& info);
  void finish(const StepInfo& info, double rate);

  bool captured() const { return bool(update_); }

 private:
  LossOutput forward_and_backward(const Inputs& inputs, const StepInfo& info);

  Task& task_;
  ParameterArena& arena_;
  Optimizer& optimizer_;
  PhaseClock& clock_;
  bool graph_;
  int64_t steps_ = 0;  // finished by this object
  StepNumber<uint64_t> batch_;
  Inputs inputs_;  // what the graph reads
  LossOutput output_;
  Graph gradients_, update_;
};

}  // namespace gestalt
