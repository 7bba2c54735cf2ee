// `gestalt tokenize`: turns a text file, once, into the token files that next-token training maps into memory.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "engine/data/text/tokenize.h"
#include "kernels/check.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct TokenizeCommand {
  std::string text, out;
  TokenizeOptions options;
  bool overwrite = false;

  void fields(Fields& f) {
    options.fields(f);
    f("overwrite", overwrite, "replace the token files in OUT if there are any");
  }
};

void print_part(const char* what, const TokenizedPart& part) {
  if (part.path.empty()) return;
  fmt::print("{:<10} {:>14} tokens of {:>14} bytes ({:.2f} bytes a token)  {}\n", what, part.tokens, part.text_bytes,
             static_cast<double>(part.text_bytes) / static_cast<double>(part.tokens), part.path);
}

void tokenize(const TokenizeCommand& o) {
  for (const char* name : {"train.tokens", "val.tokens"})
    check(o.overwrite || !std::filesystem::exists(std::filesystem::path(o.out) / name),
          "[tokenize] '{}' has a {}; choose another folder or give --overwrite", o.out, name);
  const bool terminal = isatty(STDERR_FILENO);
  const TokenizedText result = tokenize_file(o.text, o.out, o.options, [&](int64_t done, int64_t all) {
    if (terminal)
      std::fputs(fmt::format("\r{:.0f} %{}", 100.0 * done / all, done == all ? "\r\x1b[K" : "").c_str(), stderr);
  });
  print_part("training", result.training);
  print_part("validation", result.validation);
  fmt::print("vocabulary {}, {:.1f} MB/s: train with --data tokens:{}\n", result.vocabulary,
             1e-6 * (result.training.text_bytes + result.validation.text_bytes) / result.seconds, o.out);
}

}  // namespace

void add_tokenize(Command program) {
  const Command command = program.add("tokenize", "turn a text, once, into token files that training maps");
  const auto options = std::make_shared<TokenizeCommand>();
  command.argument("text", options->text,
                   "the text: a file or a folder of .txt and .md files, also compressed, with or without text:, or "
                   "jsonl:FILE#FIELD");
  command.argument("out", options->out, "the folder to write train.tokens and val.tokens into");
  set_command(
      command, [](const TokenizeCommand& o) { tokenize(o); }, options);
}

}  // namespace gestalt::tools
