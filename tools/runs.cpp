// `gestalt runs`: the runs below a folder, where they stand and what they reached.
#include <fmt/format.h>

#include <memory>

#include "engine/run/files.h"
#include "tasks/evaluation/run_list.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct RunsCommand {
  std::string folder;
  bool json = false;
  RunListOptions options;

  void fields(Fields& f) {
    options.fields(f);
    f("json", json, "all of them as one line of JSON, each with its configuration and results");
  }
};

void run(const RunsCommand& o) {
  const std::vector<ListedRun> runs = list_runs(expand_home(o.folder), o.options);
  if (o.json)
    fmt::print("{}\n", run_json(runs).dump());
  else
    fmt::print("{}", run_table(runs, o.options));
}

}  // namespace

void add_runs(Command program) {
  const Command command = program.add("runs", "list runs: where they stand, and what they reached");
  const auto options = std::make_shared<RunsCommand>();
  command.argument("folder", options->folder, "where runs are looked for, such as runs");
  command.footer(
      "The probe's column is kNN accuracy in percent or, of text, validation loss, as it last was; evaluations are of "
      "the trained encoder. 'gestalt report RUN RUN' draws curves side by side.");
  set_command(
      command, [](const RunsCommand& o) { run(o); }, options);
}

}  // namespace gestalt::tools
