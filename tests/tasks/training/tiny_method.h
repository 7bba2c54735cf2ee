// Every registered method, small enough to run whole in a test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tasks/training/method.h"

namespace gestalt::test {

// The method with its recipe "tiny".
std::unique_ptr<Method> tiny_method(const std::string& name, DType dtype = DType::f32);
// Smaller still, and with eight steps, for a device that may be emulated.
std::unique_ptr<Method> tiniest_method(const std::string& name, Device device, DType dtype = DType::f32);

// The same batch at each step.
class FixedFeed : public Feed {
 public:
  explicit FixedFeed(Batch batch, int64_t steps_per_epoch = 1)
      : batch_(std::move(batch)), steps_per_epoch_(steps_per_epoch) {}
  Batch at(int64_t, PhaseClock& clock) override {
    clock.enter(Phase::data);
    return batch_;
  }
  int64_t steps_per_epoch() const override { return steps_per_epoch_; }
  int64_t items_per_step() const override { return 1; }
  std::string describe() const override { return "one batch"; }

 private:
  Batch batch_;
  int64_t steps_per_epoch_;
};

// What a few steps of training gave.
struct Steps {
  std::vector<double> losses;         // of each batch
  std::vector<float> parts, updates;  // all of the method's parts at the end; by how much the trained ones changed
  bool captured = false;
};
// The first `steps` steps of the method as pretrain() makes them.
Steps train_steps(Method& method, int64_t steps, bool graph);

// ‖a − b‖ / ‖b‖.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace gestalt::test
