// The folder of the best encoder.
#include "tasks/training/best.h"

#include <filesystem>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/run/run_folder.h"

namespace gestalt {
namespace {

std::string record_path(const std::string& run) { return run + "/" + RunFolder::best + "/best.json"; }

}  // namespace

BestBy best_by(const Method& method) {
  const std::string& by = method.run.keep_best;
  if (by == "rank") return {.column = "effective_rank"};
  if (by != "probe") return {};
  check(method.probe != nullptr, "[pretrain] got --keep-best probe, but {} has no probe; --keep-best rank needs none",
        method.name());
  return {.column = method.probe->columns().at(0), .less = method.probe->is_loss()};
}

void write_best(Method& method, const std::string& run, const Best& best, double epoch, const BestBy& by) {
  const std::string folder = run + "/" + RunFolder::best;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check(!error, "[best] cannot make the folder '{}': {}", folder, error.message());
  std::filesystem::remove(record_path(run), error);  // it is said of what stands there whole
  method.export_to(folder);
  const Json record{{"step", best.step}, {"epoch", epoch}, {"column", by.column}, {"value", best.value}};
  write_file_atomically(record_path(run), record.dump(2) + "\n");
}

int64_t step_of_best(const std::string& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(record_path(run), ignored)) return 0;
  try {
    const Json record = parse_json(record_path(run), read_text(record_path(run)));
    return record.is_object() && record.contains("step") && record["step"].is_number_integer()
               ? record["step"].get<int64_t>()
               : 0;
  } catch (const Error&) { return 0; }
}

}  // namespace gestalt
