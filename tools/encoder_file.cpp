// Which file of a run's or a model's folder is meant.
#include <filesystem>

#include "engine/run/run_folder.h"
#include "kernels/check.h"
#include "models/weight_files.h"
#include "tasks/training/best.h"
#include "tools/evaluation.h"

namespace gestalt::tools {

std::string run_of_best(const std::string& path) {
  const std::filesystem::path at = std::filesystem::path(path).lexically_normal();
  for (const std::filesystem::path& folder : {at, at.parent_path()})
    if (folder.filename() == RunFolder::best && step_of_best(folder.parent_path().string()) > 0)
      return folder.parent_path().string();
  return "";
}

std::string encoder_file(const std::string& path, const char* tag) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(path)) return path;
  const fs::path folder(path);
  constexpr const char* names[] = {"encoder.safetensors", "model.safetensors"};
  if (const std::string found = find_weights(path, names); !found.empty()) return found;
  check(!fs::exists(folder / "gpt2"), "[{}] '{}' holds a GPT; say: gestalt evaluate text {}", tag, path, path);
  check(!fs::exists(folder / "checkpoint.safetensors"),
        "[{}] the run in '{}' has not ended, and writes its encoder then; go on with: gestalt pretrain METHOD "
        "--resume {}",
        tag, path, path);
  fail("[{}] got '{}', expected the folder of a run or of a model, or a safetensors file", tag, path);
}

}  // namespace gestalt::tools
