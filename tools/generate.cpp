// `gestalt generate`: continues a text with a GPT that was trained here or comes from Hugging Face.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "tools/commands.h"
#include "tools/flags.h"
#include "tools/gpt_source.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

struct GenerateCommand : GptSource {
  std::string prompt = "\n";
  int64_t tokens = 200;
  SamplingOptions sampling;

  void fields(Fields& f) {
    f("prompt", prompt, "the text to continue");
    f("tokens", tokens, "tokens to draw", between(1, 1e12));
    sampling.fields(f);
    GptSource::fields(f);
  }
};

void run(const GenerateCommand& o) {
  check(o.tokens >= 1, "[generate] got --tokens {}, expected 1 or more", o.tokens);
  o.sampling.validate();
  const OpenedGpt opened = open_gpt(o);
  const Tokenizer& tokenizer = *opened.tokenizer;
  const std::vector<int32_t> prompt = tokenizer.encode(o.prompt);
  check(!prompt.empty(), "[generate] got an empty --prompt, expected at least one character");
  fmt::print("{}", o.prompt);
  generate(*opened.model, prompt, o.tokens, o.sampling, opened.dtype, tokenizer.end_of_text(), [&](int32_t id) {
    if (id >= tokenizer.vocabulary() || id == tokenizer.end_of_text()) return;
    const std::string bytes = tokenizer.decode(std::span(&id, 1));
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
    flush_output();  // nobody waits for a text that goes nowhere
  });
  fmt::print("\n");
}

}  // namespace

void add_generate(Command program) {
  const Command command = program.add("generate", "continue a text with a trained GPT");
  const auto options = std::make_shared<GenerateCommand>();
  command.argument("run", options->model, "run folder, or model.safetensors of a GPT-2");
  set_command(
      command, [](const GenerateCommand& o) { run(o); }, options);
}

}  // namespace gestalt::tools
