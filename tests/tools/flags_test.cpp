// Flags made from fields: defaults, files, precedence, and what is said of mistyped names.
#include "tools/flags.h"

#include <doctest/doctest.h>

#include "engine/run/files.h"
#include "kernels/check.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

using tools::FlagFields;
using tools::GivenFields;

struct Options {
  double lr = 0.03;
  int64_t epochs = 100;
  bool head_norm = true, amp = false;
  std::string data = "shapes", schedule = "cosine";

  void fields(Fields& f) {
    f("epochs", epochs, "passes over the data");
    f("data", data, "what to learn from");
    f.title("Optimizer");
    f("lr", lr, "learning rate");
    f("schedule", schedule, "of the rate", {"cosine", "constant"});
    f("head-norm", head_norm, "batch norm in the head");
    f("amp", amp, "mixed precision");
  }
};

// `gestalt pretrain` with Options, on `line`; what went wrong is in `error`.
struct Program {
  tools::CommandLine program{"gestalt", ""};
  tools::Command command = program.root().add("pretrain", "");
  Options options;
  std::string error;

  explicit Program(const std::string& line, const std::string& config_file = "") {
    program.root().add("evaluate", "");
    FlagFields flags(command);
    options.fields(flags);
    command.on_run([this, config_file] {
      GivenFields given(command, config_file);
      options.fields(given);
      given.finish();
    });
    try {
      program.run(line);
    } catch (const Error& e) { error = e.what(); }
  }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_SUITE("flags") {
  TEST_CASE("what is not given keeps its value and what is given is set") {
    const Program none("pretrain");
    CHECK(none.error == "");
    CHECK(none.options.epochs == 100);
    CHECK(none.options.head_norm);
    const Program some("pretrain --lr 1e-3 --epochs=7 --data images:/a/b --schedule constant --no-head-norm --amp");
    CHECK(some.error == "");
    CHECK(some.options.lr == 1e-3);
    CHECK(some.options.epochs == 7);
    CHECK(some.options.data == "images:/a/b");
    CHECK(some.options.schedule == "constant");
    CHECK_FALSE(some.options.head_norm);
    CHECK(some.options.amp);
  }

  TEST_CASE("help shows each flag with its default under its title") {
    const Program program("pretrain");
    const std::string help = program.command.help();
    CHECK(contains(help, "--epochs INT=100"));
    CHECK(contains(help, "--lr NUMBER=0.03"));
    CHECK(contains(help, "{cosine|constant}=cosine"));
    CHECK(contains(help, "(default: on; --no-head-norm)"));
    CHECK(contains(help, "(default: off)"));
    CHECK(help.find("Optimizer:") > help.find("--data"));
    CHECK(help.find("Optimizer:") < help.find("--lr"));
  }

  TEST_CASE("what a command returns is the exit status") {
    tools::CommandLine program("gestalt", "");
    program.root().add("measured", "").on_run([] {});
    program.root().add("unmeasured", "").on_run([] { return 4; });
    CHECK(program.run("measured") == 0);
    CHECK(program.run("unmeasured") == 4);
    CHECK_THROWS_AS(program.run("other"), tools::WrongCommandLine);
  }

  TEST_CASE("mistyped names are answered with the nearest") {
    CHECK(contains(Program("pretrian").error, "unknown command 'pretrian'; did you mean 'pretrain'?"));
    CHECK(contains(Program("pretrain --epoch 3").error, "unknown flag '--epoch'; did you mean '--epochs'?"));
    CHECK(contains(Program("pretrain --epoch=3").error, "did you mean '--epochs'?"));
    CHECK(contains(Program("pretrain --shcedule cosine").error, "did you mean '--schedule'?"));
    CHECK(contains(Program("pretrain --schedule cosin").error, "did you mean 'cosine'?"));
    CHECK(contains(Program("pretrain stray").error, "unknown argument 'stray'"));
    CHECK(contains(Program("pretrain --xyzzy").error, "gestalt pretrain --help"));
    CHECK(contains(Program("").error, "gestalt --help"));
  }

  TEST_CASE("values that are not what the field is are refused") {
    CHECK(contains(Program("pretrain --epochs 1.5").error, "--epochs: got '1.5', expected a whole number"));
    CHECK(contains(Program("pretrain --epochs 0x10").error, "expected a whole number"));
    CHECK(contains(Program("pretrain --epochs 99999999999999999999").error, "expected a whole number"));
    CHECK(contains(Program("pretrain --lr 0,1").error, "--lr: got '0,1', expected a number"));
    CHECK(contains(Program("pretrain --lr nan").error, "expected a number"));
    CHECK(contains(Program("pretrain --lr inf").error, "expected a number"));
    CHECK(Program("pretrain --lr").error != "");
    CHECK(Program("pretrain --lr 1 --lr 2").error != "");
    CHECK(contains(Program("pretrain --amp --no-amp").error, "--no-amp"));
  }

  TEST_CASE("a config file stands between the defaults and the flags") {
    TemporaryFolder folder;
    const std::string file = folder / "run.conf";
    write_file_atomically(file,
                          "# a recipe\n\nlr = 0.5  # high\nepochs=7\ndata = \"images:/my # folder\"\namp = true\r\n"
                          "head-norm = false");
    const Program program("pretrain --epochs 9", file);
    CHECK(program.error == "");
    CHECK(program.options.lr == 0.5);
    CHECK(program.options.epochs == 9);
    CHECK(program.options.data == "images:/my # folder");
    CHECK(program.options.amp);
    CHECK_FALSE(program.options.head_norm);
    write_file_atomically(file, R"({"lr": 0.25, "epochs": 3, "amp": true, "data": "shapes:10"})");
    const Program json("pretrain", file);
    CHECK(json.error == "");
    CHECK(json.options.lr == 0.25);
    CHECK(json.options.epochs == 3);
    CHECK(json.options.amp);
    CHECK(json.options.data == "shapes:10");
  }

  TEST_CASE("a config file that says something else is refused, with its line") {
    TemporaryFolder folder;
    const std::string file = folder / "run.conf";
    const auto error = [&](const std::string& text) {
      write_file_atomically(file, text);
      return Program("pretrain", file).error;
    };
    CHECK(contains(error("lr = 1\nepoch = 3\n"), "run.conf:2: unknown name 'epoch'; did you mean 'epochs'?"));
    CHECK(contains(error("lr = 1\nlr = 2\n"), "run.conf:2: 'lr' stands twice"));
    CHECK(contains(error("lr = fast\n"), "run.conf:1: got lr 'fast', expected a number"));
    CHECK(contains(error("amp = 1\n"), "expected true or false"));
    CHECK(contains(error("schedule = cosin\n"), "did you mean 'cosine'?"));
    CHECK(contains(error("[optimizer]\nlr = 1\n"), "run.conf:1: got '[optimizer]'"));
    CHECK(contains(error("lr\n"), "run.conf:1"));
    CHECK(contains(error("lr =\n"), "run.conf:1"));
    CHECK(contains(error("data = \"open\n"), "run.conf:1"));
    CHECK(contains(error("{\"epoch\": 3}"), "unknown name 'epoch'"));
    CHECK(contains(error("{\"lr\": [1]}"), "got lr '[1]'"));
    CHECK(contains(Program("pretrain", folder / "none").error, "none"));
  }
}

}  // namespace gestalt::test
