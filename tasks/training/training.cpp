// Steps kernel by kernel, captured, and replayed.
#include "tasks/training/training.h"

#include <cmath>

#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"

namespace gestalt {
namespace {

bool lies_in(const ParameterArena& arena, Module& student) {
  for (const NamedPart& p : parts(student))
    if (p.trained) return p.tensor.same_storage(arena.weights);
  return false;
}

// A loss's numbers. Of several networks' losses, `loss` is the sum, and each has a column of its own.
void add_scalars(Training::Scalars& to, const Loss& loss, const std::string& network) {
  if (to.empty())
    to.push_back({"loss", loss.total});
  else
    to[0].second = add(to[0].second, loss.total);
  if (!network.empty()) to.push_back({network, loss.total});
  for (const Term& term : loss.terms) to.push_back({term.name, term.value});
}

}  // namespace

Training::Learner::Learner(Method& method, const Network& which, Device device, DType compute)
    : network(which),
      arena(method, device, compute, [&](const std::string& part) { return part.starts_with(which.parts); }),
      optimizer(arena, which.optimizer) {}

Training::Training(Method& method, Feed& feed, PhaseClock& clock)
    : method_(method),
      feed_(feed),
      clock_(clock),
      device_(method.run.resolved_device()),
      graph_(method.run.graph && device_ == Device::cuda && method.replayable()) {
  const RunOptions& run = method.run;
  if (device_ == Device::cuda) clock.follow_device();
  check_fields(method);
  check(run.batch >= method.least_batch(), "[training] got --batch {}, expected {} or more for {}", run.batch,
        method.least_batch(), method.name());
  plan_.steps_per_epoch = feed.steps_per_epoch() / run.accumulate;
  check(plan_.steps_per_epoch >= 1, "[training] got {} batches an epoch for --accumulate {}; use a smaller one",
        feed.steps_per_epoch(), run.accumulate);
  plan_.total_steps = run.steps > 0 ? run.steps : run.epochs * plan_.steps_per_epoch;
  for (const Network& network : method.networks()) {
    learners_.push_back(std::make_unique<Learner>(method, network, device_, run.resolved_dtype()));
    Learner& learner = *learners_.back();
    learner.rate =
        rate_schedule(network.optimizer, run.batch * run.accumulate, plan_.steps_per_epoch, plan_.total_steps);
    learner.decay = decay_schedule(network.optimizer, plan_.total_steps);
    learner.arena.adds = graph_ && run.accumulate > 1;  // one graph serves all batches of an update
    learner.arena.factors([&](const std::string& part) { return method.factors(part, plan_); });
  }
  check(learners_.size() == 1 || run.accumulate == 1,
        "[training] got --accumulate {}, expected 1 for {}, whose networks learn in turn", run.accumulate,
        method.name());
  method.plan(plan_);
  attach_teachers();
}

void Training::attach_teachers() {
  for (Plan::Following& f : plan_.teachers_) {
    const auto found = std::find_if(learners_.begin(), learners_.end(),
                                    [&](const auto& learner) { return lies_in(learner->arena, *f.student); });
    check(found != learners_.end(), "[teacher] got a student without trained parts");
    f.weights.attach(*f.teacher, *f.student, (*found)->arena, f.buffers);
  }
}

void Training::begin_step() {
  for (Scheduled* number : plan_.numbers_) number->begin_step(step_, device_);
  for (Plan::Following& f : plan_.teachers_) f.momentum.begin_step(step_, device_);
  for (auto& learner : learners_) learner->optimizer.begin_step(learner->rate.at(step_), learner->decay.at(step_));
}

std::vector<Training::Scalars> Training::step() {
  const int64_t count = method_.run.accumulate, first = step_ * count;
  const bool several = learners_.size() > 1;
  std::vector<Scalars> scalars(static_cast<size_t>(count));
  Batch batch = feed_.at(first, clock_);
  whole_ = false;
  if (step_ % plan_.steps_per_epoch == 0) {
    clock_.enter(Phase::forward);
    method_.begin_epoch(step_ / plan_.steps_per_epoch);
    for (auto& learner : learners_) learner->arena.refresh_shadows();
  }
  begin_step();
  for (size_t n = 0; n < learners_.size(); ++n) {
    // What the network before sent through this one is no gradient of its own.
    if (several) learners_[n]->arena.zero_grads();
    for (int64_t i = 0; i < count; ++i) {
      if (n == 0 && i > 0) batch = feed_.at(first + i, clock_);
      if (n == 0 && captures()) batch = held(std::move(batch));
      const Loss loss = accumulate(batch, {step_, plan_.total_steps, n, static_cast<uint64_t>(first + i)});
      add_scalars(scalars[static_cast<size_t>(i)], loss, several ? learners_[n]->network.name : "");
      if (n == 0) features_ = loss.features;
    }
    update(n);
  }
  clock_.end_step();
  ++step_;
  ++steps_here_;
  whole_ = true;
  return scalars;
}

// The batch in the memory that graphs read.
const Batch& Training::held(Batch batch) {
  clock_.enter(Phase::forward);
  std::vector<Tensor*> here, there;
  batch.each([&](Tensor& t) { here.push_back(&t); });
  inputs_.each([&](Tensor& t) { there.push_back(&t); });
  if (there.empty()) {
    for (Tensor* t : here) *t = t->clone();
    inputs_ = std::move(batch);
  } else {
    for (size_t i = 0; i < here.size(); ++i) there[i]->copy_from(*here[i]);
  }
  return inputs_;
}

Loss Training::forward_and_backward(const Batch& batch, const StepInfo& info) {
  clock_.enter(Phase::forward);
  const double share = 1.0 / static_cast<double>(method_.run.accumulate);
  const ExpectedSeed expected(share);
  Loss loss = method_.loss(batch, info);
  clock_.enter(Phase::backward);
  loss.total.backward(Tensor::full(loss.total.shape(), share, loss.total.dtype(), loss.total.device()));
  loss.total = loss.total.detach();
  for (Term& term : loss.terms) term.value = term.value.detach();
  if (loss.features) loss.features = loss.features.detach();
  return loss;
}

Loss Training::accumulate(const Batch& batch, StepInfo info) {
  if (!captures()) return forward_and_backward(batch, info);
  Learner& learner = *learners_[info.network];
  clock_.enter(Phase::forward);
  batch_number_.set(info.batch.value, device_);
  if (!learner.gradients) {
    info.batch = batch_number_.get();
    learner.gradients.capture([&] { learner.output = forward_and_backward(batch, info); });
    clock_.enter(Phase::forward);
  }
  learner.gradients.launch();
  // The next launch overwrites what this one gave.
  Loss loss{learner.output.total.clone(), learner.output.features};
  for (const Term& term : learner.output.terms) loss.terms.push_back({term.name, term.value.clone()});
  return loss;
}

void Training::update(size_t network) {
  clock_.enter(Phase::optimizer);
  Learner& learner = *learners_[network];
  if (!learner.optimizer.admits()) return;
  const auto work = [&] {
    learner.optimizer.update();
    if (network + 1 == learners_.size())
      for (Plan::Following& f : plan_.teachers_) f.weights.update(f.momentum.now());
  };
  if (!captures()) return work();
  if (!learner.update) learner.update.capture(work);
  learner.update.launch();
}

double Training::rate() const { return learners_[0]->rate.at(step_ - 1); }

double Training::gradient_norm() const {
  if (learners_.size() == 1) return learners_[0]->optimizer.gradient_norm();
  double squares = 0;
  for (const auto& learner : learners_) squares += std::pow(learner->optimizer.gradient_norm(), 2);
  return std::sqrt(squares);
}

int64_t Training::skipped() const {
  int64_t all = 0;
  for (const auto& learner : learners_) all += learner->optimizer.skipped();
  return all;
}

std::vector<std::pair<std::string, Tensor>> Training::state() {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const NamedPart& p : parts(method_)) all.push_back({"method." + p.name, p.tensor.detach()});
  for (const auto& learner : learners_) {
    const std::string& name = learner->network.name;
    for (const auto& [moment, tensor] : learner->optimizer.state())
      all.push_back({(name.empty() ? "optimizer." : "optimizer." + name + ".") + moment, tensor});
  }
  return all;
}

void Training::restored(int64_t step) {
  step_ = step;
  for (auto& learner : learners_) {
    learner->arena.refresh_shadows();
    learner->optimizer.steps = step;
  }
  attach_teachers();
}

}  // namespace gestalt
