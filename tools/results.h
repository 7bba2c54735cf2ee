// What an evaluation found, as data: a line of JSON in the run's folder, and on stdout where it is asked for.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/run/fields.h"

namespace gestalt::tools {

// Appends `result`, with the time and the program's version, to results.jsonl of the run that `model` (its folder, or a
// file in it) belongs to; a warning where that cannot be written. A model of no run has no such file. With `json`, the
// line goes to stdout as well.
void record_result(const std::string& model, nlohmann::ordered_json result, bool json);
// The flag --json.
void json_field(Fields& f, bool& json);

}  // namespace gestalt::tools
