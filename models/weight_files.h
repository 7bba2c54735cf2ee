// Files of weights that others wrote: one of a folder, or the parts that an index names.
#pragma once

#include <span>
#include <string>

#include "engine/tensor/safetensors.h"

namespace gestalt {

// The first of `names` that the folder holds, or the index of one's parts (model.safetensors.index.json); "" where
// there is none. Throws Error, with the cure, where there is a pickle instead.
std::string find_weights(const std::string& folder, std::span<const char* const> names);

// A safetensors file, or all those that an index names, as one; a part of them is taken for all where their index lies
// beside it. Throws Error for a pickle, by its name, and as read_safetensors() does.
SafetensorsFile read_weights(const std::string& path);

}  // namespace gestalt
