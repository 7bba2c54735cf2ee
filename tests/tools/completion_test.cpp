// What may follow on a command line, and the manual page: both are made of the program's own flags.
#include "tools/completion.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "models/encoder.h"
#include "tasks/training/recipe.h"
#include "tests/tools/printed.h"
#include "tools/commands.h"

namespace gestalt::test {
namespace {

const tools::CommandEntry& program_entry() {
  static const tools::CommandEntry entry = [] {
    const tools::CommandLine program("gestalt", "");
    add_all_commands(program);
    return program.root().entry();
  }();
  return entry;
}

void check_arguments(const tools::CommandEntry& command) {
  for (const tools::FlagEntry& argument : command.arguments)
    for (const tools::FlagEntry& flag : command.flags)
      CHECK_MESSAGE(argument.name != flag.name, command.name, " has ", flag.name,
                    " both ways, which CLI11 2.4 refuses");
  for (const tools::CommandEntry& other : command.commands) check_arguments(other);
}

// The words offered after `typed`, with blanks between them.
std::string offered(const tools::Words& typed) {
  std::string all;
  const tools::Completions found = tools::complete(program_entry(), typed);
  for (const tools::Completion& word : found.words) all += (all.empty() ? "" : " ") + word.word;
  return all + (found.files ? " files:" + found.before_files : "");
}

}  // namespace

TEST_SUITE("completion") {
  TEST_CASE("commands, methods and flags are those of the command line") {
    CHECK(offered({"pretr"}) == "pretrain");
    CHECK(offered({"e"}) == "evaluate embed export");
    CHECK(offered({"pretrain", "sim"}) == "simclr simsiam");
    CHECK(offered({"pretrain", "simclr", "--temp"}) == "--temperature");
    CHECK(offered({"pretrain", "mae", "--temp"}).empty());
    CHECK(offered({"pretrain", "--temp"}).find("--temperature") == 0);          // a method is not needed
    CHECK(offered({"pretrain", "simclr", "--epochs", "3", "--epoc"}).empty());  // given
    CHECK(offered({"pretrain", "simclr", "--no-gr"}) == "--no-graph");
    CHECK(offered({"pretrain", "simclr", "--n"}).find("--no-graph") == std::string::npos);
    CHECK(offered({"list", "w"}).empty());  // for scripts alone
    CHECK(offered({""}).find("pretrain evaluate") == 0);
  }

  TEST_CASE("an argument has a name of its own") { check_arguments(program_entry()); }

  TEST_CASE("values are what the library lists") {
    for (const char* command : {"export", "generate", "embed"}) CHECK(offered({command, ""}) == " files:");
    CHECK(offered({"pretrain", "simclr", "--dtype", "b"}) == "bf16");
    CHECK(offered({"pretrain", "simclr", "--dtype=b"}) == "--dtype=bf16");
    std::string presets, models;
    for (const Recipe& recipe : list_recipes())
      if (recipe.method == "simclr") presets += (presets.empty() ? "" : " ") + recipe.name;
    for (const EncoderEntry& model : list_encoders()) models += (models.empty() ? "" : " ") + model.name;
    CHECK(offered({"pretrain", "simclr", "--preset", ""}) == presets);
    CHECK(offered({"pretrain", "simclr", "--model", ""}) == models);
    CHECK(offered({"pretrain", "--preset", "gpt2"}) == "gpt2-124m");
    CHECK(offered({"pretrain", "simclr", "--epochs", ""}).empty());
  }

  TEST_CASE("sources of data, and files where files are meant") {
    CHECK(offered({"pretrain", "simclr", "--data", "ima"}) == "images:");
    CHECK(offered({"pretrain", "simclr", "--data", "images:ph"}) == " files:images:");
    CHECK(offered({"pretrain", "simclr", "--data=images:a,ta"}) == "--data=images:a,tar:");
    CHECK(offered({"pretrain", "simclr", "--data=images:a,tar:b"}) == " files:--data=images:a,tar:");
    CHECK(offered({"pack", "sha"}) == "shapes");
    CHECK(offered({"pack", "shapes", ""}) == " files:");
    CHECK(offered({"pack", "shapes", "out", ""}).empty());
    CHECK(offered({"pretrain", "simclr", "--out", "r"}) == " files:");
    CHECK(offered({"evaluate", "knn", ""}) == " files:");
    CHECK(offered({"report", "one", "two", ""}) == " files:");
  }

  TEST_CASE("the scripts ask for what follows, through the command line itself") {
    CHECK(gestalt_prints("list words -- pretrain simclr --dtype b") == "bf16\n");
    CHECK(gestalt_prints("list words -- pretr").find("pretrain\ttrain an encoder") == 0);
    CHECK(gestalt_prints("list words -- pack shapes \"\"") == ":files \n");
    for (const tools::CompletionScript& script : tools::completion_scripts())
      CHECK(gestalt_prints(std::string("list completion ") + script.shell) == script.text);
    CHECK(gestalt_prints("list --help").find("words") == std::string::npos);
  }

  TEST_CASE("the manual page has every command, and every flag once for the methods that share it") {
    const std::string page = gestalt_prints("list manual");
    const auto count = [&](const std::string& part) {
      int n = 0;
      for (size_t at = page.find(part); at != std::string::npos; at = page.find(part, at + 1)) ++n;
      return n;
    };
    const auto troff = [](std::string name) {
      for (size_t at = name.find('-'); at != std::string::npos; at = name.find('-', at + 2)) name.insert(at, "\\");
      return name;
    };
    for (const tools::CommandEntry& command : program_entry().commands) {
      CHECK_MESSAGE(count(".SS gestalt " + command.name) >= 1, command.name);
      for (const tools::FlagEntry& flag : command.usable_flags())
        if (flag.name != "help" && !flag.title.empty())
          CHECK_MESSAGE(count(".B " + troff("--" + flag.name)) >= 1, command.name, " --", flag.name);
    }
    CHECK(count(".SS gestalt pretrain simclr\n") == 1);
    const size_t decay = page.find(".B \\-\\-weight\\-decay "), pretrain_ends = page.find(".SS gestalt evaluate");
    CHECK(decay < pretrain_ends);
    CHECK(page.find(".B \\-\\-weight\\-decay ", decay + 1) > pretrain_ends);
    CHECK(count("Exit status:") == 0);
    CHECK(count(".SH EXIT STATUS") == 1);
  }
}

}  // namespace gestalt::test
