// The benchmark program: Google Benchmark over every kernel and training step, and the subcommands around it.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "bench/commands.h"
#include "bench/machine.h"
#include "engine/run/json.h"
#include "engine/tensor/device_memory.h"
#include "kernels/check.h"

namespace gestalt::bench {
namespace {

constexpr const char* footer =
    "Without a command, or with flags that begin with --benchmark_, this is Google Benchmark over all kernels and "
    "training steps: --benchmark_filter=REGEX, --benchmark_list_tests, --benchmark_format=json, …";

int google_benchmark(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  register_kernels(15);
  register_steps();
  const Machine& m = machine();
  fmt::print(stderr, "ceilings: copy {:.1f} GB/s, f32 product {:.0f} GFLOP/s, bf16 product {:.0f} GFLOP/s\n",
             m.copy_gb_per_s, m.f32_gflop_per_s, m.bf16_gflop_per_s);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

void print(const Machine& m, const std::string& device) {
  const Json line{{"device", device},
                  {"copy_gb_per_s", m.copy_gb_per_s},
                  {"f32_gflop_per_s", m.f32_gflop_per_s},
                  {"bf16_gflop_per_s", m.bf16_gflop_per_s}};
  fmt::print("{}\n", line.dump());
}

void add_machine(CLI::App& app) {
  CLI::App* command = app.add_subcommand("machine", "measure the ceilings: a large copy, a large product; prints JSON");
  const auto device = std::make_shared<std::string>("cpu");
  const auto quick = std::make_shared<bool>(false);
  command->add_option("--device", *device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
  command->add_flag("--quick", *quick, "with --device cuda: a smoke test on small sizes");
  command->callback([device, quick] {
    if (*device == "cpu") return print(machine(), "cpu");
    check(cuda_report().found, "[machine] {}", cuda_report().text);
    print(measure_device(*quick), cuda_report().text);
  });
}

void add_list(CLI::App& app) {
  app.add_subcommand("list", "the workloads that run and profile know")->callback([] {
    for (const WorkloadEntry& entry : list_workloads()) fmt::print("{:<12} {}\n", entry.name, entry.summary);
  });
}

int commands(int argc, char** argv) {
  CLI::App app{"Times Gestalt's kernels and training steps.", "gestalt_bench"};
  app.require_subcommand(1);
  app.footer(footer);
  add_table(app);
  add_run(app);
  add_profile(app);
  add_predict(app);
  add_machine(app);
  add_list(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) { return app.exit(error); } catch (const Error& error) {
    fmt::print(stderr, "gestalt_bench: {}\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace gestalt::bench

int main(int argc, char** argv) {
  const bool google = argc == 1 || std::string(argv[1]).starts_with("--benchmark_");
  return google ? gestalt::bench::google_benchmark(argc, argv) : gestalt::bench::commands(argc, argv);
}
