// `gestalt generate`: continues a text with a GPT that was trained here or comes from Hugging Face.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "engine/text/tokenizer.h"
#include "models/gpt_file.h"
#include "tasks/task.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct GenerateCommand {
  std::string model, prompt = "\n", bpe, device = "auto", dtype = "auto";
  int64_t tokens = 200;
  SamplingOptions sampling;

  void fields(Fields& f) {
    f("prompt", prompt, "the text to continue");
    f("tokens", tokens, "tokens to draw");
    sampling.fields(f);
    f("bpe", bpe, "folder with GPT-2's encoder.json and vocab.bpe; a file from Hugging Face needs it");
    f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
    f("dtype", dtype, "what activations are computed in", {"auto", "f32", "bf16"});
  }
};

// A file as it is; of a run's folder, the model that it ended with; of another folder, its model.safetensors.
std::string weights_of(const std::string& path) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(path)) return path;
  for (const char* name : {"gpt2/model.safetensors", "model.safetensors"})
    if (fs::exists(fs::path(path) / name)) return fs::path(path) / name;
  check(!fs::exists(fs::path(path) / "checkpoint.safetensors"),
        "[generate] the run in '{}' has not ended, and writes its model then; go on with: gestalt pretrain gpt "
        "--resume {}",
        path, path);
  fail("[generate] got '{}', expected the folder of a GPT run, or a model.safetensors", path);
}

std::unique_ptr<const Tokenizer> tokenizer_of(const LoadedGpt& loaded, const GenerateCommand& o) {
  if (!loaded.tokenizer.empty()) return tokenizer_from_record(loaded.tokenizer, o.bpe);
  check(!o.bpe.empty(), "[generate] '{}' has no tokenizer; give --bpe FOLDER with GPT-2's encoder.json and vocab.bpe",
        o.model);
  return gpt2_tokenizer(o.bpe, true);
}

void run(const GenerateCommand& o) {
  check(o.tokens >= 1, "[generate] got --tokens {}, expected 1 or more", o.tokens);
  o.sampling.validate();
  const RunOptions place{.device = o.device, .dtype = o.dtype};
  const LoadedGpt loaded = load_gpt(weights_of(o.model));
  const std::unique_ptr<const Tokenizer> tokenizer = tokenizer_of(loaded, o);
  check(tokenizer->vocabulary() <= loaded.model->vocabulary(),
        "[generate] got a tokenizer of {} tokens for a model of {}; was --bpe made for another?",
        tokenizer->vocabulary(), loaded.model->vocabulary());
  move_to(*loaded.model, place.resolved_device());
  const std::vector<int32_t> prompt = tokenizer->encode(o.prompt);
  check(!prompt.empty(), "[generate] got an empty --prompt, expected at least one character");
  fmt::print("{}", o.prompt);
  generate(*loaded.model, prompt, o.tokens, o.sampling, place.resolved_dtype(), tokenizer->end_of_text(),
           [&](int32_t id) {
             if (id >= tokenizer->vocabulary() || id == tokenizer->end_of_text()) return;
             const std::string bytes = tokenizer->decode(std::span(&id, 1));
             std::fwrite(bytes.data(), 1, bytes.size(), stdout);
             std::fflush(stdout);
           });
  fmt::print("\n");
}

}  // namespace

void add_generate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "continue a text with a trained GPT");
  const auto options = std::make_shared<GenerateCommand>();
  command->add_option("model", options->model, "run folder, or model.safetensors of a GPT-2")->required();
  FlagFields flags(*command);
  options->fields(flags);
  command->callback([command, options] {
    GivenFields given(*command, "");
    options->fields(given);
    run(*options);
  });
}

}  // namespace gestalt::tools
