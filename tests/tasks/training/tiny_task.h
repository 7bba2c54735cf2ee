// Every registered task, small enough to run whole in a test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tasks/training/task.h"

namespace gestalt::test {

// The task with its preset "tiny".
std::unique_ptr<Task> tiny_task(const TaskEntry& entry, DType dtype = DType::f32);
// Smaller still, and with eight steps, for a device that may be emulated.
std::unique_ptr<Task> tiniest_task(const TaskEntry& entry, Device device, DType dtype = DType::f32);

// What a few steps of training gave.
struct Steps {
  std::vector<double> losses;         // of each batch
  std::vector<float> parts, updates;  // all of the task's parts at the end; by how much the trained ones changed
  bool captured = false;
};
// The first `steps` steps of the task as pretrain() makes them.
Steps train_steps(Task& task, int64_t steps, bool graph);

// ‖a − b‖ / ‖b‖.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace gestalt::test
