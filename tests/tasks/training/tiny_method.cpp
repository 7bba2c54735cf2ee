// Recipes made smaller, and a training that keeps what it computed.
#include "tests/tasks/training/tiny_method.h"

#include <cmath>

#include "tasks/training/image_method.h"
#include "tasks/training/recipe.h"
#include "tasks/training/training.h"

namespace gestalt::test {
namespace {

std::vector<float> values_of(Module& module, bool trained_only) {
  std::vector<float> all;
  for (const NamedPart& p : parts(module))
    if (p.trained || !trained_only)
      for (float v : p.tensor.values()) all.push_back(v);
  return all;
}

}  // namespace

std::unique_ptr<Method> tiny_method(const std::string& method_name, DType dtype) {
  std::unique_ptr<Method> method = make_method(method_name);
  apply_recipe(*method, find_recipe(method_name, "tiny"));
  method->run.device = "cpu";
  method->run.dtype = name(dtype);
  return method;
}

std::unique_ptr<Method> tiniest_method(const std::string& method_name, Device device, DType dtype) {
  std::unique_ptr<Method> method = tiny_method(method_name, dtype);
  std::string fields = "layers = 1\ncontext = 16\nbatch = 4\nsteps = 8\n";
  if (const auto* images = dynamic_cast<ImageMethod*>(method.get()))
    // Prototypes ask for 15 images each.
    fields = std::string(method_name == "swav" ? "data = shapes:192\n" : "data = shapes:32\n") +
             "size = 16\nbatch = 8\nsteps = 8\n" + (images->model.model.starts_with("vit") ? "patch = 4" : "width = 4");
  set_fields(*method, "tiniest", fields);
  if (method_name.starts_with("deepcluster")) set_fields(*method, "tiniest", "clusters = 2");
  // Directions of next to no variance are noise, which whitening makes as large as the others.
  if (method_name == "deepcluster") set_fields(*method, "tiniest", "directions = 4");
  method->run.device = name(device);
  // Two right programs set a ReLU near 0 differently; a small rate keeps that from growing from step to step.
  method->optimizer.rate *= 0.1;
  return method;
}

Steps train_steps(Method& method, int64_t steps, bool graph) {
  method.run.graph = graph;
  const std::unique_ptr<Feed> feed = method.open();
  Random random(static_cast<uint64_t>(method.run.seed));
  method.build(random);
  PhaseClock clock;
  Training training(method, *feed, clock);
  const std::vector<float> before = values_of(method, true);
  Steps result;
  while (training.steps() < steps)
    for (const Training::Scalars& batch : training.step()) result.losses.push_back(batch[0].second.item());
  result.captured = training.captured();
  result.parts = values_of(method, false);
  result.updates = values_of(method, true);
  for (size_t i = 0; i < before.size(); ++i) result.updates[i] -= before[i];
  return result;
}

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = a.size() == b.size() ? 0 : NAN, norm = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace gestalt::test
