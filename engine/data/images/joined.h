// Sets of images one after another, as one.
#pragma once

#include <string>
#include <vector>

#include "engine/data/images/sources.h"

namespace gestalt {

// The sources of a spec, which stand between its commas: cut at each that a scheme and its colon follow.
std::vector<std::string> cut_sources(const std::string& spec);

// As they are: each image keeps its name, labels are left behind, and images are decoded as they are needed.
SetPointer one_after_another(std::vector<SetPointer> sets, double damage_limit);

// The parts of a spec with commas, opened: "images:a,images:b" is cut at a comma that a scheme follows, so that names
// may have commas. Classes are those of all parts, by name; where one part has no labels, none has. In memory where all
// parts are and fit together.
SetPointer open_joined(const std::vector<std::string>& specs, const OpenOptions&);

}  // namespace gestalt
