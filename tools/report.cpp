// `gestalt report`: a page about one run or several that needs no other file and no network.
#include <fmt/format.h>

#include <memory>

#include "engine/run/files.h"
#include "tasks/evaluation/run_report.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct ReportCommand {
  std::vector<std::string> runs;
  std::string out;
  RunReportOptions options;

  void fields(Fields& f) {
    f("out", out, "the HTML file to write; empty: report.html, in the folder of the run if there is one");
    options.fields(f);
  }
};

void run(const ReportCommand& o) {
  check(!o.runs.empty(), "[report] got no run; name its folder, such as runs/NAME");
  std::vector<std::string> folders;
  for (std::string folder : o.runs) {
    folder = expand_home(folder);
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    folders.push_back(folder);
  }
  const std::string page = run_report(folders, o.options);
  const std::string out = !o.out.empty()        ? expand_home(o.out)
                          : folders.size() == 1 ? folders[0] + "/report.html"
                                                : "report.html";
  write_file_atomically(out, page);
  fmt::print("wrote {} ({:.1f} KiB)\n", out, static_cast<double>(page.size()) / 1024);
}

}  // namespace

void add_report(Command program) {
  const Command command = program.add("report", "write a page about one run, or several side by side");
  const auto options = std::make_shared<ReportCommand>();
  command.arguments("runs", options->runs, "folders of runs, also of ones that have not ended");
  command.footer(
      "One HTML file without scripts that needs no network: curves, results with intervals, the configuration beside "
      "its preset, times, and pictures of views, reconstructions, neighbours and a map of features. What cannot be "
      "shown is left out, with the reason. 'gestalt pretrain' writes one at the end of each run.");
  set_command(
      command, [](const ReportCommand& o) { run(o); }, options);
}

}  // namespace gestalt::tools
