// Saving and restoring runs.
#include "tasks/training/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "engine/tensor/safetensors.h"

namespace gestalt {
namespace {

constexpr const char* header_key = "gestalt.run";
// Grows when a run that an older program began could not go on bit for bit, or its record could not be read.
constexpr int64_t format = 3;
constexpr int64_t format_without_checksums = 2;

// JSON has no NaN; null stands for it.
Json to_json(double number) { return std::isfinite(number) ? Json(number) : Json(nullptr); }

Json to_json(const RunState& s) {
  Json sums = Json::object(), row = Json::array();
  for (const auto& [name, sum] : s.sums) sums[name] = to_json(sum);
  for (const auto& [name, value] : s.row) row.push_back({name, value ? to_json(*value) : Json("")});
  return {{"step", s.step},
          {"seconds", s.seconds},
          {"sums", sums},
          {"batches", s.batches},
          {"metrics_bytes", s.metrics_bytes},
          {"timing_bytes", s.timing_bytes},
          {"row", row},
          {"best", {{"step", s.best.step}, {"value", to_json(s.best.value)}}}};
}

Json to_json(const RunOrigin& o) {
  Json data = Json::object();
  for (const auto& [name, value] : o.data) data[name] = value;
  return {{"data", data}, {"folder", o.folder}, {"changes", o.changes}};
}

// Reads a record that may be damaged: what is not as it was written throws Error with the path and the name.
class Record {
 public:
  Record(const std::string& path, const Json& json) : path_(path), json_(json) {
    check(json.is_object(), "[checkpoint] {} has a damaged record: it is no object", path);
  }

  const Json& at(const char* name) const {
    const Json* found = json_.find(name);
    check(found, "[checkpoint] {} has a damaged record: there is no '{}'", path_, name);
    return *found;
  }
  Record object(const char* name) const { return {path_, at(name)}; }
  int64_t count(const char* name) const {
    constexpr int64_t most = 1'000'000'000'000'000;
    const Json& value = at(name);
    const bool whole = value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(most);
    check(whole, "[checkpoint] {} has a damaged record: '{}' is {}, expected a whole number from 0 to {}", path_, name,
          value.dump(), most);
    return value.get<int64_t>();
  }
  double number(const char* name, const Json& value) const {
    if (value.is_null()) return NAN;
    check(value.is_number(), "[checkpoint] {} has a damaged record: '{}' is {}, expected a number", path_, name,
          value.dump());
    return value.get<double>();
  }
  double number(const char* name) const { return number(name, at(name)); }
  std::string text(const char* name, const Json& value) const {
    check(value.is_string(), "[checkpoint] {} has a damaged record: '{}' is {}, expected a text", path_, name,
          value.dump());
    return value.get<std::string>();
  }
  std::string text(const char* name) const { return text(name, at(name)); }
  const Json& json() const { return json_; }
  void require(bool right, const char* name, const Json& value) const {
    check(right, "[checkpoint] {} has a damaged record: '{}' is {}", path_, name, value.dump());
  }

 private:
  const std::string& path_;
  const Json& json_;
};

RunState state_of(const Record& record) {
  RunState state{.step = record.count("step"),
                 .seconds = record.number("seconds"),
                 .batches = record.count("batches"),
                 .metrics_bytes = record.count("metrics_bytes"),
                 .timing_bytes = record.count("timing_bytes")};
  record.require(state.seconds >= 0 && state.seconds < 1e12, "seconds", record.at("seconds"));
  for (const auto& [name, sum] : record.object("sums").json().items())
    state.sums.push_back({name, record.number("sums", sum)});
  if (record.json().contains("best"))
    state.best = {record.object("best").count("step"), record.object("best").number("value")};
  if (!record.json().contains("row")) return state;
  record.require(record.at("row").is_array(), "row", record.at("row"));
  for (const Json& cell : record.at("row")) {
    record.require(cell.is_array() && cell.size() == 2, "row", cell);
    state.row.push_back({record.text("row", cell[0]), {}});
    if (!cell[1].is_string()) state.row.back().second = record.number("row", cell[1]);
  }
  return state;
}

RunOrigin origin_of(const Record& record) {
  RunOrigin origin{.folder = record.text("folder")};
  for (const auto& [name, value] : record.object("data").json().items())
    origin.data.push_back({name, record.text("data", value)});
  record.require(record.at("changes").is_array(), "changes", record.at("changes"));
  for (const Json& change : record.at("changes")) origin.changes.push_back(record.text("changes", change));
  return origin;
}

CheckpointHeader header_of(const std::string& path, const SafetensorsFile& file) {
  const auto text = file.metadata.find(header_key);
  check(text != file.metadata.end(),
        "[checkpoint] {} is no checkpoint of a run; expected a file named checkpoint.safetensors", path);
  const Json json = parse_json(path, text->second);
  const Json number = json.is_object() && json.contains("format") ? json["format"] : Json();
  check(number == format || number == format_without_checksums,
        "[checkpoint] {} is of another version of Gestalt, whose random numbers were drawn otherwise: it cannot go on "
        "bit for bit. Finish it with the program that began it, or begin anew with --config and its config.json",
        path);
  check(file.verified || number != format, "[checkpoint] {} is damaged: it has no checksums", path);
  const Record record(path, json);
  CheckpointHeader header{.path = path,
                          .method = record.text("method"),
                          .fields = record.object("fields").json(),
                          .state = state_of(record.object("state")),
                          .origin = {},
                          .note = {}};
  if (number == format)
    header.origin = origin_of(record.object("origin"));
  else
    header.note = path + " is of a program that recorded neither checksums nor what the data were: neither is compared";
  return header;
}

void restore(const std::string& path, const SafetensorsFile& file, const std::string& name, Tensor to) {
  const auto found =
      std::find_if(file.tensors.begin(), file.tensors.end(), [&](const NamedTensor& t) { return t.name == name; });
  check(found != file.tensors.end(),
        "[checkpoint] {} has no {}: it is of another version of Gestalt, whose method held less. Finish it with the "
        "program that began it, or begin anew with --config and its config.json",
        path, name);
  const Tensor& from = found->tensor;
  check(from.shape() == to.shape() && from.dtype() == to.dtype(), "[checkpoint] {} has {} as {} {}, expected {} {}",
        path, name, gestalt::name(from.dtype()), from.shape().text(), gestalt::name(to.dtype()), to.shape().text());
  to.copy_from(from);
}

struct OpenedCheckpoint {
  SafetensorsFile file;
  CheckpointHeader header;
};

// The last checkpoint that `read` can read. Where both are damaged, what is wrong with the last.
template <class Read>
OpenedCheckpoint open_checkpoint(const std::string& folder, Read&& read) {
  const auto open = [&](const char* name) {
    const std::string path = folder + "/" + name;
    OpenedCheckpoint opened{read(path), {}};
    opened.header = header_of(path, opened.file);
    return opened;
  };
  std::error_code ignored;
  const bool before = std::filesystem::exists(folder + "/" + RunFolder::previous_checkpoint, ignored);
  const bool last = std::filesystem::exists(folder + "/" + RunFolder::checkpoint, ignored);
  check(last || before, "[resume] found no {}/{}; expected the folder of a run that was started", folder,
        RunFolder::checkpoint);
  std::string why = fmt::format("there is no {}/{}", folder, RunFolder::checkpoint);
  try {
    if (last) return open(RunFolder::checkpoint);
  } catch (const Error& error) {
    if (!before) throw;
    why = error.what();
  }
  OpenedCheckpoint opened;
  try {
    opened = open(RunFolder::previous_checkpoint);
  } catch (const Error& error) {
    if (!last) throw;
    fail("{}; the checkpoint before it cannot be read either", why);
  }
  opened.header.note =
      fmt::format("{}; going on from the checkpoint before it, of step {}", why, opened.header.state.step);
  return opened;
}

}  // namespace

void save_checkpoint(const std::string& folder, Method& method, Training& training, const RunState& state,
                     const RunOrigin& origin) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : training.state()) tensors.push_back({name, tensor});
  JsonWriter fields;
  method.fields(fields);
  const Json header{{"format", format},
                    {"method", method.name()},
                    {"fields", fields.object},
                    {"state", to_json(state)},
                    {"origin", to_json(origin)}};
  const std::string path = folder + "/" + RunFolder::checkpoint, fresh = unfinished_name(path);
  const std::string record = header.dump();
  try {
    write_safetensors(fresh, tensors, {{header_key, record}}, true);
    verify_safetensors(fresh);
    replace_keeping(fresh, path, folder + "/" + RunFolder::previous_checkpoint);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(fresh, ignored);
    throw;
  }
}

void keep_checkpoints(const std::string& folder, int64_t step, int64_t count) {
  namespace fs = std::filesystem;
  constexpr std::string_view begin = "checkpoint-", end = ".safetensors";
  if (count <= 0) return;
  const fs::path kept = fs::path(folder) / fmt::format("{}{:08}{}", begin, step, end);
  std::error_code failed;
  fs::remove(kept, failed);
  // A second name for the file: the next checkpoint is another file that takes the first name.
  fs::create_hard_link(fs::path(folder) / RunFolder::checkpoint, kept, failed);
  if (failed) fs::copy_file(fs::path(folder) / RunFolder::checkpoint, kept, failed);
  check(!failed, "[checkpoint] cannot keep {}: {}", kept.string(), failed.message());
  std::vector<fs::path> all;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(begin) && name.ends_with(end)) all.push_back(entry.path());
  }
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i + static_cast<size_t>(count) < all.size(); ++i) fs::remove(all[i], failed);
}

CheckpointHeader read_checkpoint_header(const std::string& folder) {
  return open_checkpoint(folder, read_safetensors_header).header;
}

CheckpointHeader load_checkpoint(const std::string& folder, Training& training) {
  const auto [file, header] = open_checkpoint(folder, read_safetensors);
  const auto all = training.state();
  for (const auto& [name, tensor] : all) restore(header.path, file, name, tensor);
  check(all.size() == file.tensors.size(), "[checkpoint] {} has {} tensors, expected {}", header.path,
        file.tensors.size(), all.size());
  training.restored(header.state.step);
  return header;
}

void load_weights(const std::string& folder, Method& method) {
  const auto [file, header] = open_checkpoint(folder, read_safetensors);
  for (const NamedPart& p : parts(method)) restore(header.path, file, "method." + p.name, p.tensor);
}

}  // namespace gestalt
