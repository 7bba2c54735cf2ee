// One step of BYOL and of SimSiam against PyTorch: loss, every gradient, the moving average and running statistics.
#include <doctest/doctest.h>

#include "engine/nn/arena.h"
#include "tasks/byol.h"
#include "tasks/simsiam.h"
#include "tests/devices.h"
#include "tests/golden_step.h"

namespace gestalt::test {
namespace {

void make_small(ImageTask& task, Device device) {
  task.run.device = name(device);
  task.run.dtype = "f32";
  task.image_size = 16;
  task.model = {.model = "resnet10", .stem = "cifar", .width = 16};
}

Inputs golden_views(const char* record, Device device) {
  std::vector<double> pixels = hash_uniform(golden_text(record, "views"), 16 * 16 * 16 * 3);
  for (double& p : pixels) p += 0.5;
  return {{Tensor::from(pixels, {16, 16, 16, 3}).to(DType::f32).to(device)}};
}

void check_step(const char* record, double loss, Module& task) {
  const StepErrors errors = compare_step(record, loss, task);
  CHECK(errors.loss < 1e-5);
  const GradientError worst = errors.worst();
  MESSAGE("largest relative gradient error: ", worst.error, " in ", worst.name, ", of ", errors.gradients.size());
  for (const GradientError& g : errors.gradients) CHECK_MESSAGE(g.error < 1e-4, g.name);
}

// A target's parts under the names they have in the record.
struct Named : Module {
  Byol& task;
  explicit Named(Byol& task) : task(task) {}
  void visit(Visitor& v) override { v("target", task.target()); }
};

void check_byol(Device device) {
  CAPTURE(name(device));
  const char* record = "byol_step.json";
  Byol task;
  make_small(task, device);
  task.head_hidden = 64;
  task.head_out = 32;
  task.predictor_hidden = 48;
  task.tau = 0.9;
  Random random(1);
  task.build(random);
  fill_by_formula(task);
  Named target(task);
  fill_by_formula(target);
  ParameterArena arena(task, device, DType::f32);
  task.prepare(arena);
  task.begin_step({3, 10});
  const LossOutput out = task.loss(golden_views(record, device), {3, 10});
  out.loss.backward();
  check_step(record, out.loss.item(), task);

  Optimizer optimizer(arena, {.kind = "sgd", .momentum = 0, .decay = 0});
  optimizer.step(0.05, 0);
  task.after_step({3, 10}, arena);
  for (const GradientError& e : compare_values(record, "after", task)) CHECK_MESSAGE(e.error < 1e-5, e.name);
}

void check_simsiam(Device device) {
  CAPTURE(name(device));
  const char* record = "simsiam_step.json";
  Simsiam task;
  make_small(task, device);
  task.head_hidden = 64;
  task.head_out = 32;
  task.predictor_hidden = 48;
  Random random(1);
  task.build(random);
  fill_by_formula(task);
  ParameterArena arena(task, device, DType::f32);
  const LossOutput out = task.loss(golden_views(record, device), {});
  out.loss.backward();
  check_step(record, out.loss.item(), task);
}

}  // namespace

TEST_CASE("BYOL step on every device: loss, gradients, moving average and running statistics equal PyTorch's") {
  for (Device device : devices()) check_byol(device);
}

TEST_CASE("SimSiam step on every device: loss and every gradient equal PyTorch's") {
  for (Device device : devices()) check_simsiam(device);
}

}  // namespace gestalt::test
