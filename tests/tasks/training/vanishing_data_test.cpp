// Runs whose data vanish between two steps, or within one.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "engine/ops/pointwise.h"
#include "engine/run/files.h"
#include "engine/tensor/safetensors.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/run.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

// Numbers, the first of which are there. One of them may be no number.
class Fleeting : public Feed {
 public:
  Fleeting(int64_t there, int64_t not_finite) : there_(there), not_finite_(not_finite) {}
  Batch at(int64_t step, PhaseClock& clock) override {
    clock.enter(Phase::data);
    check(step < there_, "[data] batch {} is gone", step);
    Batch batch;
    batch.views = {Tensor::full({1}, step == not_finite_ ? NAN : static_cast<double>(step))};
    return batch;
  }
  int64_t steps_per_epoch() const override { return 20; }
  int64_t items_per_step() const override { return 1; }
  std::string describe() const override { return "numbers"; }

 private:
  int64_t there_, not_finite_;
};

// A weight follows the number in the batch with momentum, and a state counts the batches that were looked at.
class Follower : public Method {
 public:
  explicit Follower(int64_t there = 1000, int64_t not_finite = -1) : there_(there), not_finite_(not_finite) {
    run.device = "cpu";
    run.dtype = "f32";
    run.steps = 8;
    run.probe_every = 0;
    optimizer = {.rate = 0.1, .rate_scaling = "none", .momentum = 0.9, .decay = 0, .final_rate = 1};
  }
  Modality modality() const override { return Modality::images; }
  Wants wants() const override { return {}; }
  std::unique_ptr<Feed> open() override { return std::make_unique<Fleeting>(there_, not_finite_); }
  std::string export_to(const std::string&) override { return {}; }
  void build(Random&) override {
    weight = Tensor::full({1}, 8).require_grad();
    seen = Tensor::full({1}, 0);
  }
  Loss loss(const Batch& batch, const StepInfo&) override {
    seen.copy_from(add(seen, Tensor::full({1}, 1)));
    const Tensor apart = subtract(weight, batch.views[0]);
    return {sum(multiply(apart, apart)), {}};
  }
  void visit(Visitor& v) override {
    v("weight", weight);
    v.state("seen", seen);
  }

  Tensor weight, seen;

 private:
  int64_t there_, not_finite_;
};

PretrainResult follow(Follower&& method, const PretrainSettings& settings) { return pretrain(method, settings); }
int64_t step_of(const std::string& run) { return read_checkpoint_header(run).state.step; }
std::vector<float> parts_of(const std::string& run) {
  std::vector<float> all;
  for (const NamedTensor& t : read_safetensors(run + "/checkpoint.safetensors").tensors)
    for (float value : t.tensor.values()) all.push_back(value);
  return all;
}

}  // namespace

TEST_CASE("data that vanish between two steps: all that was learned is saved, and goes on bit for bit") {
  const TemporaryFolder folder;
  const std::string whole = folder / "whole", run = folder / "run";
  follow(Follower(), {.out = whole, .quiet = true});
  CHECK_THROWS_WITH_AS(follow(Follower(5), {.out = run, .quiet = true}), "[data] batch 5 is gone", Error);
  CHECK(step_of(run) == 5);
  CHECK_FALSE(follow(Follower(), {.resume = run, .quiet = true}).interrupted);
  CHECK(parts_of(run) == parts_of(whole));
  CHECK(read_text(run + "/metrics.csv") == read_text(whole + "/metrics.csv"));
}

TEST_CASE("data that vanish within a step: what it has changed already is not saved") {
  const TemporaryFolder folder;
  const std::string whole = folder / "whole", run = folder / "run";
  const auto twice = [](int64_t there) {
    Follower method(there);
    method.run.accumulate = 2;
    return method;
  };
  follow(twice(1000), {.out = whole, .quiet = true});
  follow(twice(1000), {.out = run, .quiet = true, .stop_after = 1});
  CHECK_THROWS_WITH_AS(follow(twice(7), {.resume = run, .quiet = true}), "[data] batch 7 is gone", Error);
  CHECK(step_of(run) == 1);
  follow(twice(1000), {.resume = run, .quiet = true});
  CHECK(parts_of(run) == parts_of(whole));
}

TEST_CASE("data that vanish after the loss was no number: the last good checkpoint stays") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  follow(Follower(), {.out = run, .quiet = true, .stop_after = 2});
  CHECK_THROWS_WITH_AS(follow(Follower(5, 3), {.resume = run, .quiet = true}), "[data] batch 5 is gone", Error);
  CHECK(step_of(run) == 2);
}

}  // namespace gestalt::test
