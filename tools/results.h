// What an evaluation found, as a line of JSON in the run's folder or on stdout, and as a row of a table.
#pragma once

#include <string>
#include <vector>

#include "engine/run/fields.h"
#include "engine/run/json.h"

namespace gestalt::tools {

// Appends `result`, with the time and the program's version, to results.jsonl of the run that `model` (its folder, or a
// file in it) belongs to; a warning where that cannot be written. A model of no run has no such file. With `json`, the
// line goes to stdout as well.
void record_result(const std::string& model, Json result, bool json);
// The flag --json.
void json_field(Fields& f, bool& json);

// "a & b \\" with LaTeX's special characters escaped, or "| a | b |".
std::string table_row(const std::vector<std::string>& cells, const std::string& style);
// The flag that chooses between them.
void row_field(Fields& f, std::string& style);

}  // namespace gestalt::tools
