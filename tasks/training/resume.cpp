// Comparing a run with what it began with.
#include "tasks/training/resume.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "engine/data/archive.h"
#include "engine/data/images/image_set.h"
#include "engine/data/images/joined.h"
#include "engine/data/text/token_sets.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/run.h"

namespace gestalt {
namespace {

// Replaces what names a place: the data, and GPT-2's byte-pair files.
class Places : public Fields {
 public:
  explicit Places(std::function<std::string(const std::string&)> replace) : replace_(std::move(replace)) {}
  void operator()(const char*, bool&, const char*) override {}
  void operator()(const char*, int64_t&, const char*, const Bounds&) override {}
  void operator()(const char*, double&, const char*, const Bounds&) override {}
  void operator()(const char* name, std::string& value, const char*, const std::vector<std::string>&) override {
    if (std::string_view(name) == "data" || std::string_view(name) == "bpe") value = replace_(value);
  }

 private:
  std::function<std::string(const std::string&)> replace_;
};

// Where the path in `place` begins; npos for data that are made up, such as "shapes:100".
size_t path_in(const std::string& place) {
  const size_t colon = place.find(':');
  if (colon == std::string::npos) return place == "shapes" ? colon : 0;
  const auto in_files = [&](const auto& sources) {
    return std::any_of(sources.begin(), sources.end(), [&](const auto& source) {
      const bool files =
          source.usage.find(":DIR") != std::string::npos || source.usage.find(":FILE") != std::string::npos;
      return source.scheme == place.substr(0, colon) && files;
    });
  };
  return in_files(image_sources()) || in_files(text_sources()) ? colon + 1 : std::string::npos;
}

// Whether files are there: a path, a pattern of archives, or a path and a field of its lines.
bool is_there(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return true;
  const size_t field = path.rfind('#');
  if (field != std::string::npos && std::filesystem::exists(path.substr(0, field), ignored)) return true;
  if (path.find_first_of("*?[{") == std::string::npos) return false;
  try {
    return std::filesystem::exists(files_of(path)[0], ignored);
  } catch (const Error&) { return false; }
}

// One source as it was meant in the folder `from`, if there is something.
std::string source_from(const std::filesystem::path& from, const std::string& source) {
  const size_t at = path_in(source);
  std::error_code ignored;
  if (at == std::string::npos || at == source.size() || from.empty()) return source;
  const std::filesystem::path path = source.substr(at), there = from / path;
  const bool elsewhere = from != std::filesystem::current_path(ignored) && path.is_relative();
  return elsewhere && is_there(there.string()) ? source.substr(0, at) + there.string() : source;
}

// All sources of a place, which may be several with commas between them.
std::string place_from(const std::filesystem::path& from, const std::string& place) {
  std::vector<std::string> sources = cut_sources(place);
  for (std::string& source : sources) source = source_from(from, source);
  return fmt::format("{}", fmt::join(sources, ","));
}

}  // namespace

Json config_of(Method& method) {
  JsonWriter writer;
  method.fields(writer);
  Json config{{"method", method.name()}};
  config.update(writer.object);
  return config;
}

void check_config(const std::string& path, const Json& written, const Json& began, Method& method) {
  check(written.is_object(), "[resume] {} is no object of names and values", path);
  FieldNames fields;
  method.fields(fields);
  const Json asked = config_of(method);
  const auto text = [](const Json& json) { return text_of_json(json).value_or(json.dump()); };
  for (const auto& [name, value] : written.items()) {
    if (may_change(name)) continue;
    const bool is_method = name == "method", known = is_method || began.contains(name);
    check(known, "[resume] {} has an unknown name '{}'{}", path, name, suggestion(name, fields.names));
    if (known && may_be_changed(name) && asked.at(name) != began[name]) continue;
    const Json was = is_method ? Json(method.name()) : began[name];
    check(value == was,
          "[resume] {0} says {1} = {2}, but the run began with {3}, and a resume goes on exactly as it began. Put it "
          "back, or begin a new run with --config {0}",
          path, name, text(value), text(was));
  }
  for (const auto& [name, value] : began.items())
    check(may_change(name) || written.contains(name),
          "[resume] {0} has no '{1}', but the run began with {1} = {2}. Put it back, or remove {0}: it is written anew",
          path, name, text(value));
}

namespace {

// As it comes back from a record: bytes that are no UTF-8, as in the name of a class, are replaced.
std::string recorded(const std::string& text) { return parse_json("", Json(text).dump()).text(); }

}  // namespace

std::string differences_of(const DataIdentity& was, const DataIdentity& is) {
  std::vector<std::string> counts, checksums;  // the latter say nothing more where a count differs
  for (const auto& entry : was) {
    const auto found =
        std::find_if(is.begin(), is.end(), [&](const auto& other) { return other.first == entry.first; });
    const std::string now = found == is.end() ? "none" : recorded(found->second), then = recorded(entry.second);
    if (now == then) continue;
    (entry.first.starts_with("checksum") ? checksums : counts)
        .push_back(fmt::format("{} {} instead of {}", entry.first, now, then));
  }
  return fmt::format("{}", fmt::join(counts.empty() ? checksums : counts, ", "));
}

void replace_places(Method& method, const std::function<std::string(const std::string&)>& replace) {
  Places places(replace);
  method.fields(places);
}

bool may_change(const std::string& field) {
  for (const char* name :
       {"data", "bpe", "threads", "loader-threads", "checkpoint-minutes", "keep", "keep-best", "tensorboard"})
    if (field == name) return true;
  return false;
}

bool may_be_changed(const std::string& field) {
  for (const char* name : {"lr", "clip", "epochs", "steps"})
    if (field == name) return true;
  return false;
}

namespace {

// Takes from config.json what may differ from what the run began with: somebody may have edited it.
void set_changeable(const std::string& path, Method& method) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  const Json written = parse_json(path, read_text(path));
  check(written.is_object(), "[resume] {} is no object of names and values", path);
  Json changeable = Json::object();
  for (const auto& [name, value] : written.items())
    if (may_change(name)) changeable[name] = value;
  JsonReader reader(path, changeable);
  method.fields(reader);
}

}  // namespace

std::unique_ptr<Method> method_of_run(const std::string& folder) {
  const CheckpointHeader header = read_checkpoint_header(folder);
  std::unique_ptr<Method> method = make_method(header.method);
  JsonReader reader(header.path, header.fields);
  method->fields(reader);
  reader.finish();
  set_changeable(folder + "/" + RunFolder::config, *method);
  replace_places(*method, [&](const std::string& place) { return place_from(header.origin.folder, place); });
  return method;
}

}  // namespace gestalt
