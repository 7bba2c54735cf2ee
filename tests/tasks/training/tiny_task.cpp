// Presets made smaller, and a training loop that keeps what it computed.
#include "tests/tasks/training/tiny_task.h"

#include <cmath>

#include "engine/run/fields_json.h"
#include "tasks/training/image_task.h"
#include "tasks/training/train_step.h"

namespace gestalt::test {

std::unique_ptr<Task> tiny_task(const TaskEntry& entry, DType dtype) {
  std::unique_ptr<Task> task = entry.make();
  apply_preset(*task, entry, "tiny");
  task->run.device = "cpu";
  task->run.dtype = name(dtype);
  return task;
}

std::unique_ptr<Task> tiniest_task(const TaskEntry& entry, Device device, DType dtype) {
  std::unique_ptr<Task> task = tiny_task(entry, dtype);
  const char* fields = R"({"layers": 1, "context": 16, "batch": 4, "steps": 8})";
  if (auto* images = dynamic_cast<ImageTask*>(task.get())) {
    fields = R"({"data": "shapes:32", "size": 16, "batch": 8, "steps": 8})";
    images->model.width = 4;
    images->model.patch = 4;
  }
  JsonReader reader("tiniest", parse_json("tiniest", fields));
  task->fields(reader);
  reader.finish();
  task->run.device = name(device);
  // Two right programs set a ReLU near 0 differently; a small rate keeps that from growing from step to step.
  task->optimizer.rate *= 0.1;
  return task;
}

Steps train_steps(Task& task, int64_t steps, bool graph) {
  const std::unique_ptr<Feed> feed = task.open();
  Random random(static_cast<uint64_t>(task.run.seed));
  task.build(random);
  ParameterArena arena(task, task.run.resolved_device(), task.run.resolved_dtype());
  const std::vector<float> before = arena.weights.values();
  Optimizer optimizer(arena, task.optimizer);
  task.prepare(arena);
  const int64_t batches = task.run.accumulate;
  const Schedule schedule =
      rate_schedule(task.optimizer, task.run.batch * batches, feed->steps_per_epoch() / batches, steps);
  PhaseClock clock(phase_names);
  TrainStep train(task, arena, optimizer, clock, graph);
  Steps result;
  for (int64_t step = 0; step < steps; ++step) {
    const auto info = [&](int64_t batch) { return StepInfo{step, steps, static_cast<uint64_t>(batch)}; };
    train.begin(info(step * batches));
    for (int64_t batch = step * batches; batch < (step + 1) * batches; ++batch)
      result.losses.push_back(train.accumulate(feed->at(batch, clock), info(batch)).loss.item());
    train.finish(info(step * batches), schedule.at(step));
    clock.end_step();
  }
  result.captured = train.captured();
  for (const NamedPart& p : parts(task))
    for (float v : p.tensor.values()) result.parts.push_back(v);
  result.updates = arena.weights.values();
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
