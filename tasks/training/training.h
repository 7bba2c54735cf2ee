// Training: the one step of the program. Loops, fine-tuning, linear probes, tests and benchmarks call it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/graph.h"
#include "engine/tensor/step_number.h"
#include "tasks/training/method.h"

namespace gestalt {

// A step draws the batches, and for each network in turn adds up the gradients of its losses and updates it; then
// teachers follow. On CUDA, where `run.graph` and the method allow it, the first steps run kernel by kernel, so that
// libraries have chosen their algorithms and got their workspace; then each network's forward and backward pass become
// one graph, its update another. Results are the same bits either way.
class Training {
 public:
  // Moves the parts of a built method, open on `feed`, into arenas on the run's device.
  Training(Method& method, Feed& feed, PhaseClock& clock);

  // A loss and its terms by name: (1) tensors, still on the device.
  using Scalars = std::vector<std::pair<std::string, Tensor>>;
  // One update of each network; what each of the step's batches gave.
  std::vector<Scalars> step();

  int64_t steps() const { return step_; }  // made so far, over all sittings
  // Whether all is as steps() left it. Not so where step() has thrown, unless it did for want of the step's first
  // batch.
  bool whole() const { return whole_; }
  int64_t steps_per_epoch() const { return plan_.steps_per_epoch; }
  int64_t total_steps() const { return plan_.total_steps; }
  int64_t warmup_steps() const { return learners_[0]->rate.warmup_steps; }
  const Tensor& features() const { return features_; }  // of the last batch; overwritten by the next step
  double next_rate() const { return learners_[0]->rate.at(step_); }
  // Of the last step. The norm is that of all networks' gradients together, and waits for the device.
  double rate() const;
  double gradient_norm() const;
  int64_t skipped() const;  // updates of a network, as --skip-outliers says
  bool captured() const { return bool(learners_[0]->update); }

  // What a checkpoint holds: the method's parts and the optimizers' moments.
  std::vector<std::pair<std::string, Tensor>> state();
  // After state() was written from one: goes on after `step` steps.
  void restored(int64_t step);

 private:
  // One network at work.
  struct Learner {
    Learner(Method& method, const Network& network, Device device, DType compute);

    Network network;
    ParameterArena arena;
    Optimizer optimizer;
    Schedule rate, decay;
    Loss output;  // of the captured pass
    Graph gradients, update;
  };

  bool captures() const { return graph_ && steps_here_ >= warm_up_steps; }
  void begin_step();
  void attach_teachers();
  const Batch& held(Batch batch);
  Loss forward_and_backward(const Batch& batch, const StepInfo& info);
  Loss accumulate(const Batch& batch, StepInfo info);
  void update(size_t network);

  static constexpr int64_t warm_up_steps = 2;
  Method& method_;
  Feed& feed_;
  PhaseClock& clock_;
  Device device_;
  bool graph_;
  Plan plan_;
  std::vector<std::unique_ptr<Learner>> learners_;
  int64_t step_ = 0, steps_here_ = 0;  // the latter by this object
  bool whole_ = true;
  StepNumber<uint64_t> batch_number_;
  Batch inputs_;  // what graphs read
  Tensor features_;
};

}  // namespace gestalt
