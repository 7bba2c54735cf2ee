// What every registered task must do, without asking: learn one batch, resume bit for bit, ignore thread counts.
#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>

#include "engine/nn/arena.h"
#include "engine/run/files.h"
#include "engine/tensor/safetensors.h"
#include "tasks/training/pretrain.h"
#include "tests/devices.h"
#include "tests/tasks/training/tiny_task.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

bool same_bits(const std::string& a, const std::string& b) {
  const SafetensorsFile x = read_safetensors(a + "/checkpoint.safetensors");
  const SafetensorsFile y = read_safetensors(b + "/checkpoint.safetensors");
  if (x.tensors.size() != y.tensors.size()) return false;
  for (const NamedTensor& t : x.tensors) {
    const Tensor& u = y.at(t.name);
    if (t.tensor.bytes() != u.bytes() || std::memcmp(t.tensor.in().data, u.in().data, t.tensor.bytes())) return false;
  }
  return true;
}

std::vector<double> column_loss(const std::string& folder) {
  std::ifstream file(folder + "/metrics.csv");
  std::string line;
  std::getline(file, line);
  std::vector<double> losses;
  while (std::getline(file, line)) {
    std::stringstream cells(line);
    std::string cell;
    for (int i = 0; i < 3; ++i) std::getline(cells, cell, ',');
    losses.push_back(std::stod(cell));
  }
  return losses;
}

// Trains on the first batch alone; the loss must fall.
void check_learns(const TaskEntry& entry, std::unique_ptr<Task> task) {
  const Device device = task->run.resolved_device();
  const DType dtype = task->run.resolved_dtype();
  CAPTURE(entry.name);
  CAPTURE(name(device));
  CAPTURE(name(dtype));
  const std::unique_ptr<Feed> feed = task->open();
  Random random(1);
  task->build(random);
  ParameterArena arena(*task, device, dtype);
  task->prepare(arena);
  Optimizer optimizer(arena, {.kind = "adamw", .decay = 0});
  PhaseClock clock(phase_names);
  const Inputs inputs = feed->at(0, clock);
  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    task->begin_step({0, 1000});
    const LossOutput out = task->loss(inputs, {0, 1000});
    last = out.loss.item();
    if (step == 0) first = last;
    out.loss.backward();
    optimizer.step(2e-3, 0);
    task->after_step({0, 1000}, arena);
  }
  CHECK_MESSAGE(last < 0.7 * first, "loss went from ", first, " to ", last);
}

// Runs a task whole and in three sittings; returns the losses of the whole run.
std::vector<double> check_resumes(const std::string& folder, const std::function<std::unique_ptr<Task>()>& make) {
  const std::string whole = folder + "-whole", parts = folder + "-parts";
  pretrain(*make(), {.out = whole, .quiet = true});
  CHECK(pretrain(*make(), {.out = parts, .quiet = true, .stop_after = 3}).interrupted);
  CHECK(pretrain(*task_of_run(parts), {.resume = parts, .quiet = true, .stop_after = 4}).interrupted);
  const PretrainResult result = pretrain(*task_of_run(parts), {.resume = parts, .quiet = true});
  CHECK_FALSE(result.interrupted);
  CHECK(same_bits(whole, parts));
  CHECK(read_text(whole + "/metrics.csv") == read_text(parts + "/metrics.csv"));
  return column_loss(whole);
}

}  // namespace

TEST_CASE("every task: learns one batch") {
  for (const TaskEntry& entry : list_tasks())
    for (DType dtype : {DType::f32, DType::bf16}) check_learns(entry, tiny_task(entry, dtype));
}

TEST_CASE("every task on cuda: learns one batch" * doctest::skip(without_cuda)) {
  for (const TaskEntry& entry : list_tasks()) check_learns(entry, tiniest_task(entry, Device::cuda, DType::bf16));
}

TEST_CASE("every task: an interrupted run resumes bit for bit, and the loss falls") {
  const TemporaryFolder scratch;
  for (const TaskEntry& entry : list_tasks()) {
    CAPTURE(entry.name);
    const std::vector<double> losses = check_resumes(scratch / entry.name, [&] { return tiny_task(entry); });
    CHECK(losses.back() < losses.front());
  }
}

TEST_CASE("every task on cuda: an interrupted run resumes bit for bit" * doctest::skip(without_cuda)) {
  const TemporaryFolder scratch;
  for (const TaskEntry& entry : list_tasks()) {
    CAPTURE(entry.name);
    check_resumes(scratch / entry.name, [&] { return tiniest_task(entry, Device::cuda); });
  }
}

TEST_CASE("every task: loader threads do not matter, seeds do") {
  const TemporaryFolder scratch;
  for (const TaskEntry& entry : list_tasks()) {
    CAPTURE(entry.name);
    const auto run = [&](const std::string& folder, int64_t seed, int64_t threads) {
      std::unique_ptr<Task> task = tiny_task(entry);
      task->run.seed = seed;
      task->run.loader_threads = threads;
      pretrain(*task, {.out = scratch / folder, .quiet = true, .stop_after = 3});
      return scratch / folder;
    };
    const std::string one = run(entry.name + "-1", 1, 1), four = run(entry.name + "-4", 1, 4);
    const std::string other = run(entry.name + "-seed", 2, 1);
    CHECK(same_bits(one, four));
    CHECK_FALSE(same_bits(one, other));
  }
}

}  // namespace gestalt::test
