// Steps kernel by kernel, captured, and replayed.
#include "tasks/training/train_step.h"

#include "kernels/launch.h"

namespace gestalt {
namespace {

constexpr int64_t warm_up_steps = 2;

}  // namespace

TrainStep::TrainStep(Task& task, ParameterArena& arena, Optimizer& optimizer, PhaseClock& clock, bool graph)
    : task_(task),
      arena_(arena),
      optimizer_(optimizer),
      clock_(clock),
      graph_(graph && arena.weights.device() == Device::cuda && task.replayable()) {}

void TrainStep::begin(const StepInfo& info) { task_.begin_step(info); }

LossOutput TrainStep::forward_and_backward(const Inputs& inputs, const StepInfo& info) {
  clock_.enter(static_cast<size_t>(Phase::forward));
  const LossOutput out = task_.loss(inputs, info);
  clock_.enter(static_cast<size_t>(Phase::backward));
  const double share = 1.0 / static_cast<double>(task_.run.accumulate);
  out.loss.backward(Tensor::full(out.loss.shape(), share, out.loss.dtype(), out.loss.device()));
  return {out.loss.detach(), out.features};
}

LossOutput TrainStep::accumulate(const Inputs& inputs, const StepInfo& info) {
  if (!graph_ || steps_ < warm_up_steps) return forward_and_backward(inputs, info);
  clock_.enter(static_cast<size_t>(Phase::forward));
  batch_.set(info.batch.value, Device::cuda);
  const bool first = inputs_.tensors.empty();
  for (size_t i = 0; i < inputs.tensors.size(); ++i)
    if (first)
      inputs_.tensors.push_back(inputs.tensors[i].clone());
    else
      inputs_.tensors[i].copy_from(inputs.tensors[i]);
  if (!gradients_) {
    StepInfo replayed = info;
    replayed.batch = batch_.get();
    gradients_.capture([&] { output_ = forward_and_backward(inputs_, replayed); });
    clock_.enter(static_cast<size_t>(Phase::forward));
  }
  gradients_.launch();
  return {output_.loss.clone(), output_.features};
}

void TrainStep::finish(const StepInfo& info, double rate) {
  clock_.enter(static_cast<size_t>(Phase::optimizer));
  optimizer_.begin_step(rate, decay_schedule(task_.optimizer, info.total_steps).at(info.step));
  const auto work = [&] {
    optimizer_.update();
    task_.after_step(info, arena_);
  };
  if (!graph_ || steps_ < warm_up_steps) {
    work();
  } else {
    if (!update_) update_.capture(work);
    update_.launch();
  }
  ++steps_;
}

}  // namespace gestalt
