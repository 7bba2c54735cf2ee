// Appending to results.jsonl.
#include "tools/results.h"

#include <fmt/chrono.h>

#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "kernels/check.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

namespace fs = std::filesystem;

// The folder of the run that a model belongs to, or empty.
std::string run_of(const std::string& model) {
  fs::path at(expand_home(model));
  std::error_code ignored;
  for (int up = 0; up < 3 && !at.empty(); ++up, at = at.parent_path())
    if (fs::exists(at / RunFolder::config, ignored) && fs::exists(at / RunFolder::checkpoint, ignored))
      return at.string();
  return "";
}

}  // namespace

void record_result(const std::string& model, nlohmann::ordered_json result, bool json) {
  result["time"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  result["version"] = GESTALT_VERSION;
  const std::string line = result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (json) fmt::print("{}", line);
  const std::string folder = run_of(model);
  if (folder.empty()) return;
  const std::string path = folder + "/results.jsonl";
  try {
    append_to_file(path, line);
  } catch (const Error& error) { note(fmt::format("gestalt: warning: {}", error.what())); }
}

void json_field(Fields& f, bool& json) { f("json", json, "print the result as one line of JSON, and nothing else"); }

}  // namespace gestalt::tools
