// The registry of methods and the flags that all of them share.
#include "tasks/training/task.h"

#include <algorithm>

#include "engine/run/fields_json.h"
#include "engine/tensor/device_memory.h"

namespace gestalt {
namespace {

std::vector<TaskEntry>& registry() {
  static std::vector<TaskEntry> entries;
  return entries;
}

}  // namespace

void RunOptions::fields(Fields& f) {
  f.title("Run");
  f("data", data, "what to learn from, such as images:DIR or text:FILE; see 'gestalt list data'");
  f("batch", batch, "images, or windows of text, per step");
  f("epochs", epochs, "passes over the data");
  f("steps", steps, "updates to make, instead of --epochs; 0: as many as those give");
  f("accumulate", accumulate, "batches whose gradients are summed before one update");
  f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
  f("dtype", dtype, "what activations are computed in: auto, f32 or bf16; weights stay f32", {"auto", "f32", "bf16"});
  f("graph", graph, "on cuda, capture the training step once and replay it, where the method allows it");
  f("threads", threads, "threads of the CPU backend; 0: one a core");
  f("loader-threads", loader_threads, "threads that decode images ahead");
  f("seed", seed, "of everything random: weights, order, augmentation");
  f("probe-every", probe_every, "epochs between evaluations; 0: only at the end");
  f("checkpoint-minutes", checkpoint_minutes, "minutes between checkpoints; one is also written at the end");
}

Device RunOptions::resolved_device() const {
  if (device == "auto") return cuda_report().found ? Device::cuda : Device::cpu;
  return device == "cuda" ? Device::cuda : Device::cpu;
}

DType RunOptions::resolved_dtype() const {
  if (dtype != "auto") return dtype == "bf16" ? DType::bf16 : DType::f32;
  if (resolved_device() == Device::cuda) return DType::bf16;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return DType::bf16;
#endif
  return DType::f32;
}

void Task::fields(Fields& f) {
  run.fields(f);
  optimizer.fields(f);
}

RegisterTask::RegisterTask(TaskEntry entry) {
  std::vector<TaskEntry>& all = registry();
  all.insert(std::upper_bound(all.begin(), all.end(), entry,
                              [](const TaskEntry& a, const TaskEntry& b) { return a.name < b.name; }),
             std::move(entry));
}

const std::vector<TaskEntry>& list_tasks() { return registry(); }

const TaskEntry& find_task(const std::string& name) {
  std::vector<std::string> names;
  for (const TaskEntry& entry : registry()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  fail("[task] got '{}', which is none{}", name, suggestion(name, names));
}

void apply_preset(Task& task, const TaskEntry& entry, const std::string& preset) {
  std::vector<std::string> names;
  for (const Preset& p : entry.presets) {
    names.push_back(p.name);
    if (p.name != preset) continue;
    JsonReader reader("preset " + p.name, parse_json("preset " + p.name, p.values));
    task.fields(reader);
    reader.finish();
    return;
  }
  fail("[preset] got '{}', which {} does not have{}", preset, entry.name, suggestion(preset, names));
}

}  // namespace gestalt
