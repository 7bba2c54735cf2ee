// Saving and restoring runs.
#include "tasks/training/checkpoint.h"

#include "engine/run/fields_json.h"
#include "engine/tensor/safetensors.h"

namespace gestalt {
namespace {

constexpr const char* header_key = "gestalt.run";

nlohmann::ordered_json to_json(const RunState& s, int64_t optimizer_steps) {
  return {{"step", s.step},
          {"seconds", s.seconds},
          {"loss_sum", s.loss_sum},
          {"loss_count", s.loss_count},
          {"metrics_bytes", s.metrics_bytes},
          {"timing_bytes", s.timing_bytes},
          {"optimizer_steps", optimizer_steps}};
}

nlohmann::ordered_json header_of(const std::string& path, const SafetensorsFile& file) {
  const auto text = file.metadata.find(header_key);
  check(text != file.metadata.end(),
        "[checkpoint] {} is no checkpoint of a run; expected a file named checkpoint.safetensors", path);
  return parse_json(path, text->second);
}

void restore(const std::string& path, const SafetensorsFile& file, const std::string& name, Tensor to) {
  const Tensor& from = file.at(name);
  check(from.shape() == to.shape() && from.dtype() == to.dtype(), "[checkpoint] {} has {} as {} {}, expected {} {}",
        path, name, gestalt::name(from.dtype()), from.shape().text(), gestalt::name(to.dtype()), to.shape().text());
  to.copy_from(from);
}

RunState state_of(const nlohmann::ordered_json& header) {
  const auto& s = header.at("state");
  return {s.at("step"),       s.at("seconds"),       s.at("loss_sum"),
          s.at("loss_count"), s.at("metrics_bytes"), s.at("timing_bytes")};
}

}  // namespace

void save_checkpoint(const std::string& path, Task& task, Optimizer& optimizer, const RunState& state) {
  std::vector<NamedTensor> tensors;
  for (const NamedPart& p : parts(task)) tensors.push_back({"task." + p.name, p.tensor.detach()});
  for (const auto& [name, tensor] : optimizer.state()) tensors.push_back({"optimizer." + name, tensor});
  JsonWriter fields;
  task.fields(fields);
  const nlohmann::ordered_json header{
      {"task", task.name()}, {"fields", fields.object}, {"state", to_json(state, optimizer.steps)}};
  write_safetensors(path, tensors, {{header_key, header.dump()}});
}

CheckpointHeader read_checkpoint_header(const std::string& path) {
  const nlohmann::ordered_json header = header_of(path, read_safetensors(path));
  return {header.at("task"), header.at("fields"), state_of(header)};
}

RunState load_checkpoint(const std::string& path, Task& task, ParameterArena& arena, Optimizer& optimizer) {
  const SafetensorsFile file = read_safetensors(path);
  const nlohmann::ordered_json header = header_of(path, file);
  const std::vector<NamedPart> all = parts(task);
  const auto moments = optimizer.state();
  for (const NamedPart& p : all) restore(path, file, "task." + p.name, p.tensor);
  for (const auto& [name, tensor] : moments) restore(path, file, "optimizer." + name, tensor);
  const size_t used = all.size() + moments.size();
  check(used == file.tensors.size(), "[checkpoint] {} has {} tensors, expected {}", path, file.tensors.size(), used);
  arena.refresh_shadows();
  optimizer.steps = header.at("state").at("optimizer_steps");
  return state_of(header);
}

void load_weights(const std::string& path, Task& task) {
  const SafetensorsFile file = read_safetensors(path);
  for (const NamedPart& p : parts(task)) restore(path, file, "task." + p.name, p.tensor);
}

}  // namespace gestalt
