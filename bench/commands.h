// The benchmark program's subcommands, each added to the command line by one function.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "bench/workload.h"

namespace gestalt::bench {

void add_run(CLI::App& app);
void add_profile(CLI::App& app);
void add_predict(CLI::App& app);
void add_table(CLI::App& app);

// Adds the flags of a workload to a command; they are parsed into what this returns.
std::shared_ptr<WorkloadOptions> add_workload_flags(CLI::App& command);

// Registers Google Benchmark's rows: every kernel, and the training steps.
void register_kernels(int iterations);
void register_steps();

}  // namespace gestalt::bench
