// The runs below a folder, one beside the other in a table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/run/fields.h"
#include "engine/run/json.h"
#include "tasks/evaluation/run_record.h"

namespace gestalt {

struct ListedRun {
  std::string folder;
  std::optional<RunRecord> record;
  std::string problem = {};  // why there is no record
};

struct RunListOptions {
  std::string sort = "name";
  std::string fields_shown;  // names of config.json's fields by commas, or "differing"

  void fields(Fields& f);
};

// All folders below `folder`, and itself, that have a config.json; none is looked for inside a run. Throws Error for a
// folder that is not there.
std::vector<ListedRun> list_runs(const std::string& folder, const RunListOptions& options);

// Aligned columns, a run a line: where it stands, what it is, how far it came, its last probe and evaluations. Throws
// Error for a field that no run has, with the nearest.
std::string run_table(const std::vector<ListedRun>& runs, const RunListOptions& options);
// The same and all of config.json, an object a run.
Json run_json(const std::vector<ListedRun>& runs);

}  // namespace gestalt
