// What `gestalt pretrain` does when a run has ended: measures, records and shows what was learned.
#pragma once

#include <string>

#include "tasks/training/run.h"

namespace gestalt::tools {

// The closing table where one is asked for, which the run's results.jsonl gets too; else what the last probe said.
// Returns why there is nothing, where there should be something.
std::string print_measures(Method& method, const PretrainResult& result, bool report);

// Writes the run's report.html; a failure is a warning, for the run is trained and saved.
void write_page(Method& method, const std::string& folder);

}  // namespace gestalt::tools
