// `gestalt sweep`: a run for each combination of fields' values, over seeds, and a table of what they gave.
#include <fmt/format.h>

#include <memory>

#include "engine/run/files.h"
#include "tasks/evaluation/sweep.h"
#include "tools/commands.h"
#include "tools/flags.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

struct SweepCommand {
  std::string file, out;
  bool quiet = false;

  void fields(Fields& f) {
    f("out", out, "folder for the runs and sweep.csv; the same again goes on where it was stopped");
    f("quiet", quiet, "say which runs are made, and nothing of how far each is");
  }
};

int run(const SweepCommand& o) {
  check(!o.out.empty(), "[sweep] got no --out; see 'gestalt sweep --help'");
  const std::string file = expand_home(o.file), out = expand_home(o.out);
  Sweep sweep = parse_sweep(file, read_text(file));
  note(fmt::format("{} runs of {}", sweep.runs.size(), sweep.method));
  const SweepOutcome outcome = run_sweep(sweep, out, o.quiet, note);
  if (outcome.signal != 0) {
    fmt::print("stopped; the same command goes on\n");
    return 128 + outcome.signal;
  }
  fmt::print("{}{}/sweep.csv has this table\n", outcome.table, out);
  check(outcome.failed == 0, "[sweep] {} of {} runs have not ended; they are not in the table", outcome.failed,
        sweep.runs.size());
  return 0;
}

}  // namespace

void add_sweep(Command program) {
  const Command command = program.add("sweep", "make a run for each combination of values, over seeds, and a table");
  const auto options = std::make_shared<SweepCommand>();
  command.argument("file", options->file, "lines 'name = value', with several values apart by '|'");
  command.footer(
      "The file has 'method = NAME', a preset if wanted, and fields as --config has them; 'lr = 0.1 | 0.2' and "
      "'seed = 1 | 2 | 3' make six runs and a table of two lines with mean and deviation. Killed at any moment, the "
      "same command ends with the same table. Values may be added to the file later.");
  set_command(
      command, [](const SweepCommand& o) { return run(o); }, options);
}

}  // namespace gestalt::tools
