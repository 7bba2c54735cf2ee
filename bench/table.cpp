// `gestalt_bench table`: Google Benchmark's rows as markdown, and the three kernels that are furthest from their floor.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "bench/commands.h"
#include "bench/machine.h"
#include "kernels/cpu/team.h"

namespace gestalt::bench {
namespace {

struct Column {
  const char *counter, *head;
  int digits;
};
const std::vector<Column> kernel_columns{{"median_us", "µs", 1},    {"min_us", "min", 1},
                                         {"max_us", "max", 1},      {"GB/s", "GB/s", 1},
                                         {"GFLOP/s", "GFLOP/s", 1}, {"of_floor", "of floor", 2}};
const std::vector<Column> step_columns{{"loader_ms", "loader ms", 2},     {"augment_ms", "augment ms", 2},
                                       {"forward_ms", "forward ms", 1},   {"loss_ms", "loss ms", 2},
                                       {"backward_ms", "backward ms", 1}, {"optimizer_ms", "optimizer ms", 2}};

// Keeps what is measured and prints it at the end, in the order in which it ran.
class MarkdownReporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      check(!run.error_occurred, "[table] {} failed: {}", run.benchmark_name(), run.error_message);
      fmt::print(stderr, "{}\n", run.benchmark_name());
      runs_.push_back(run);
    }
  }

  void print() const {
    print_table("kernel, forward and backward", kernel_columns,
                [](const Run& r) { return r.counters.contains("median_us"); });
    print_table("step", step_columns, [](const Run& r) { return !r.counters.contains("median_us"); });
    print_worst(3);
  }

 private:
  static std::string label(const Run& run) { return run.run_name.function_name; }
  template <class Which>
  void print_table(const char* what, const std::vector<Column>& columns, Which&& which) const {
    const bool steps = &columns == &step_columns;
    if (std::none_of(runs_.begin(), runs_.end(), which)) return;
    fmt::print("| {} |{}", what, steps ? " whole ms |" : "");
    for (const Column& c : columns) fmt::print(" {} |", c.head);
    fmt::print("\n| --- |{}", steps ? " --- |" : "");
    for (size_t i = 0; i < columns.size(); ++i) fmt::print(" --- |");
    for (const Run& run : runs_) {
      if (!which(run)) continue;
      fmt::print("\n| {} |", label(run));
      if (steps) fmt::print(" {:.1f} |", run.GetAdjustedRealTime());
      for (const Column& c : columns) {
        const auto found = run.counters.find(c.counter);
        fmt::print(" {} |", found == run.counters.end() ? "" : fmt::format("{:.{}f}", found->second.value, c.digits));
      }
    }
    fmt::print("\n\n");
  }

  void print_worst(size_t count) const {
    std::vector<std::pair<double, std::string>> by_floor;
    for (const Run& run : runs_)
      if (const auto found = run.counters.find("of_floor"); found != run.counters.end())
        by_floor.push_back({found->second.value, label(run)});
    std::sort(by_floor.begin(), by_floor.end());
    if (by_floor.size() > count) by_floor.resize(count);
    if (by_floor.empty()) return;
    fmt::print("Furthest from the floor:");
    for (const auto& [fraction, name] : by_floor) fmt::print(" {} ({:.2f})", name, fraction);
    fmt::print(".\n");
  }

  std::vector<Run> runs_;
};

void table(const std::string& filter, int iterations) {
  char name[] = "gestalt_bench";
  char* argv[] = {name, nullptr};
  int argc = 1;
  benchmark::Initialize(&argc, argv);
  register_kernels(iterations);
  register_steps();
  const Machine& m = machine();
  fmt::print(
      "{} threads; copy {:.1f} GB/s, f32 product {:.0f} GFLOP/s, bf16 product {:.0f} GFLOP/s. Kernels cold, "
      "median of {}; 'of floor' is the time that traffic and arithmetic take at those rates over the time "
      "taken.\n\n",
      kernels::cpu::team_size(), m.copy_gb_per_s, m.f32_gflop_per_s, m.bf16_gflop_per_s, iterations);
  MarkdownReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter, filter);
  reporter.print();
}

}  // namespace

void add_table(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "table", "every kernel against the machine's ceilings, as a markdown table, and the three furthest from them");
  const auto filter = std::make_shared<std::string>("-^step/");
  const auto iterations = std::make_shared<int>(15);
  command->add_option("--filter", *filter,
                      "regular expression on names; -^step/ (the default) is all but the steps, "
                      "^step/ the steps alone");
  command->add_option("--iterations", *iterations, "timings of a kernel [15]");
  command->callback([=] { table(*filter, *iterations); });
}

}  // namespace gestalt::bench
