// Finding a GPT's weights and its tokenizer.
#include "tools/gpt_source.h"

#include <fmt/ranges.h>

#include <filesystem>

#include "engine/run/files.h"
#include "models/weight_files.h"
#include "tasks/training/run_options.h"

namespace gestalt::tools {
namespace {

std::unique_ptr<const Tokenizer> tokenizer_of(const LoadedGpt& loaded, const GptSource& source) {
  if (!loaded.tokenizer.empty()) return tokenizer_from_record(loaded.tokenizer, expand_home(source.bpe));
  check(!source.bpe.empty(), "[gpt] '{}' has no tokenizer; give --bpe FOLDER with GPT-2's encoder.json and vocab.bpe",
        source.model);
  return gpt2_tokenizer(expand_home(source.bpe), true);
}

}  // namespace

bool holds_gpt(const std::string& path) {
  constexpr const char* names[] = {"gpt2/model.safetensors", "model.safetensors"};
  if (std::filesystem::is_directory(path) && !std::filesystem::exists(std::filesystem::path(path) / "gpt2") &&
      find_weights(path, names).empty())
    return false;
  for (const NamedTensor& t : read_weights(find_gpt(path)).tensors)
    if (t.name.ends_with("wte.weight")) return true;
  return false;
}

void GptSource::fields(Fields& f) {
  f("bpe", bpe, "folder with GPT-2's encoder.json and vocab.bpe; a file from Hugging Face needs it");
  f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
  f("dtype", dtype, "what activations are computed in", {"auto", "f32", "bf16"});
}

LoadedGpt load_gpt_of(const std::string& path) {
  LoadedGpt loaded = load_gpt(find_gpt(path));
  if (!loaded.ignored.empty()) fmt::print(stderr, "ignored: {}\n", fmt::join(loaded.ignored, ", "));
  return loaded;
}

OpenedGpt open_gpt(const GptSource& source) {
  const RunOptions place{.device = source.device, .dtype = source.dtype};
  LoadedGpt loaded = load_gpt_of(expand_home(source.model));
  OpenedGpt opened{nullptr, tokenizer_of(loaded, source), place.resolved_dtype()};
  check(opened.tokenizer->vocabulary() <= loaded.model->vocabulary(),
        "[gpt] got a tokenizer of {} tokens for a model of {}; was --bpe made for another?",
        opened.tokenizer->vocabulary(), loaded.model->vocabulary());
  opened.model = std::move(loaded.model);
  move_to(*opened.model, place.resolved_device());
  return opened;
}

}  // namespace gestalt::tools
