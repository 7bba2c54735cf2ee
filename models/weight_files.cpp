// Finding weights, and joining the parts that transformers cuts large models into.
#include "models/weight_files.h"

#include <filesystem>
#include <map>

#include "engine/run/files.h"
#include "engine/run/json.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;

constexpr const char* index_ending = ".index.json";

void check_no_pickle(const fs::path& path) {
  const std::string kind = path.extension().string();
  check(kind != ".pth" && kind != ".pt" && kind != ".bin" && kind != ".ckpt" && kind != ".tar",
        "[import] '{}' is a pickle, expected safetensors; say in Python: safetensors.torch.save_file("
        "torch.load('{}'), 'weights.safetensors')",
        path.string(), path.string());
}

SafetensorsFile read_parts(const fs::path& index) {
  const Json json = parse_json(index.string(), read_text(index.string()));
  check(
      json.is_object() && json.contains("weight_map") && json["weight_map"].is_object() && !json["weight_map"].empty(),
      "[import] {} has no weight_map, expected the index of a model in parts", index.string());
  std::map<std::string, std::string> files;  // of each tensor
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    check(file.is_string() && fs::path(file.get<std::string>()).filename() == file.get<std::string>(),
          "[import] {} says that '{}' is in {}, expected a file beside it", index.string(), tensor, file.dump());
    files[tensor] = file.get<std::string>();
  }
  SafetensorsFile all;
  std::map<std::string, SafetensorsFile> parts;
  for (const auto& [tensor, file] : files) parts.try_emplace(file);
  for (auto& [name, part] : parts) {
    const std::string path = (index.parent_path() / name).string();
    part = read_safetensors(path);
    if (all.metadata.empty()) all.metadata = part.metadata;
    for (NamedTensor& t : part.tensors) {
      const auto said = files.find(t.name);
      check(said != files.end() && said->second == name, "[import] {} has '{}', where {} says {}", path, t.name,
            index.string(), said == files.end() ? "nothing" : said->second);
      files.erase(said);
      all.tensors.push_back(std::move(t));
    }
  }
  check(files.empty(), "[import] {} says that '{}' is in {}, but it is not", index.string(),
        files.empty() ? "" : files.begin()->first, files.empty() ? "" : files.begin()->second);
  return all;
}

}  // namespace

std::string find_weights(const std::string& folder, std::span<const char* const> names) {
  for (const char* name : names)
    for (const std::string& file : {std::string(name), std::string(name) + index_ending})
      if (fs::exists(fs::path(folder) / file)) return (fs::path(folder) / file).string();
  if (fs::exists(fs::path(folder) / "pytorch_model.bin")) check_no_pickle(fs::path(folder) / "pytorch_model.bin");
  return "";
}

SafetensorsFile read_weights(const std::string& path) {
  check_no_pickle(path);
  if (path.ends_with(index_ending)) return read_parts(path);
  const std::string name = fs::path(path).filename().string();
  const size_t part = name.find("-00"), of = name.find("-of-");
  if (part != std::string::npos && of != std::string::npos && part < of) {
    const fs::path index = fs::path(path).parent_path() / (name.substr(0, part) + ".safetensors" + index_ending);
    if (fs::exists(index)) return read_parts(index);
  }
  return read_safetensors(path);
}

}  // namespace gestalt
