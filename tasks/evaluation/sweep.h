// A sweep: one run for each combination of some fields' values, and what each gave over its seeds.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tasks/training/method.h"

namespace gestalt {

struct SweepRun {
  std::string name;                                         // of its folder: "lr=0.1,seed=2"
  std::vector<std::pair<std::string, std::string>> varied;  // the fields that have several values, without the seed
  std::unique_ptr<Method> method;
};

struct Sweep {
  std::string method;
  std::vector<SweepRun> runs;  // those that differ in their seeds alone stand together
};

// Lines as a config file has them, with several values apart by '|': "lr = 0.1 | 0.2", "seed = 1 | 2 | 3". `method`
// names the method, `preset` a recipe that the lines override. Throws Error, naming `source`, for what no run could
// begin with.
Sweep parse_sweep(const std::string& source, std::string_view text);

struct SweepOutcome {
  std::string table, csv;  // in aligned columns; as a file
  int64_t failed = 0;
  int signal = 0;  // that stopped it; 0 if all runs have been made
};

// Makes the runs, one after another, each in a folder of its own in `out`; those that have ended are not made again,
// and those that began go on. sweep.csv in `out` has the table. A run that fails costs itself. `say` is told of each.
// Throws Error where `out` has a run of the same name and other fields.
SweepOutcome run_sweep(Sweep& sweep, const std::string& out, bool quiet,
                       const std::function<void(const std::string&)>& say);

}  // namespace gestalt
