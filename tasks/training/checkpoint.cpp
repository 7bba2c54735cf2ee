// Saving and restoring runs.
#include "tasks/training/checkpoint.h"

#include "engine/run/fields_json.h"
#include "engine/tensor/safetensors.h"

namespace gestalt {
namespace {

constexpr const char* header_key = "gestalt.run";
// Grows when a run that an older program began could not go on bit for bit.
constexpr int64_t format = 2;

nlohmann::ordered_json to_json(const RunState& s) {
  nlohmann::ordered_json sums = nlohmann::ordered_json::object();
  for (const auto& [name, sum] : s.sums) sums[name] = sum;
  return {{"step", s.step},
          {"seconds", s.seconds},
          {"sums", sums},
          {"batches", s.batches},
          {"metrics_bytes", s.metrics_bytes},
          {"timing_bytes", s.timing_bytes}};
}

nlohmann::ordered_json header_of(const std::string& path, const SafetensorsFile& file) {
  const auto text = file.metadata.find(header_key);
  check(text != file.metadata.end(),
        "[checkpoint] {} is no checkpoint of a run; expected a file named checkpoint.safetensors", path);
  const nlohmann::ordered_json header = parse_json(path, text->second);
  check(header.is_object() && header.value("format", int64_t{1}) == format,
        "[checkpoint] {} is of another version of Gestalt, whose random numbers were drawn otherwise: it cannot go on "
        "bit "
        "for bit. Finish it with the program that began it, or begin anew with --config and its config.json",
        path);
  return header;
}

void restore(const std::string& path, const SafetensorsFile& file, const std::string& name, Tensor to) {
  const Tensor& from = file.at(name);
  check(from.shape() == to.shape() && from.dtype() == to.dtype(), "[checkpoint] {} has {} as {} {}, expected {} {}",
        path, name, gestalt::name(from.dtype()), from.shape().text(), gestalt::name(to.dtype()), to.shape().text());
  to.copy_from(from);
}

RunState state_of(const nlohmann::ordered_json& header) {
  const auto& s = header.at("state");
  RunState state{.step = s.at("step"),
                 .seconds = s.at("seconds"),
                 .batches = s.at("batches"),
                 .metrics_bytes = s.at("metrics_bytes"),
                 .timing_bytes = s.at("timing_bytes")};
  for (const auto& [name, sum] : s.at("sums").items()) state.sums.push_back({name, sum});
  return state;
}

}  // namespace

void save_checkpoint(const std::string& path, Method& method, Training& training, const RunState& state) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : training.state()) tensors.push_back({name, tensor});
  JsonWriter fields;
  method.fields(fields);
  const nlohmann::ordered_json header{
      {"format", format}, {"method", method.name()}, {"fields", fields.object}, {"state", to_json(state)}};
  write_safetensors(path, tensors, {{header_key, header.dump()}});
}

CheckpointHeader read_checkpoint_header(const std::string& path) {
  const nlohmann::ordered_json header = header_of(path, read_safetensors(path));
  return {header.at("method"), header.at("fields"), state_of(header)};
}

RunState load_checkpoint(const std::string& path, Training& training) {
  const SafetensorsFile file = read_safetensors(path);
  const RunState state = state_of(header_of(path, file));
  const auto all = training.state();
  for (const auto& [name, tensor] : all) restore(path, file, name, tensor);
  check(all.size() == file.tensors.size(), "[checkpoint] {} has {} tensors, expected {}", path, file.tensors.size(),
        all.size());
  training.restored(state.step);
  return state;
}

void load_weights(const std::string& path, Method& method) {
  const SafetensorsFile file = read_safetensors(path);
  header_of(path, file);
  for (const NamedPart& p : parts(method)) restore(path, file, "method." + p.name, p.tensor);
}

}  // namespace gestalt
