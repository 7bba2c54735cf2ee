// What a resumed run has to find again: its fields, its data and the places that they name.
#pragma once

#include <functional>
#include <string>

#include "engine/run/json.h"
#include "tasks/training/method.h"

namespace gestalt {

// config.json: the method's name and all of its fields.
Json config_of(Method& method);

// Throws Error, naming the field, unless `written` (the config.json at `path`) says what the run began with: it would
// be believed by whoever reads it. What may_change() is not compared, nor what may_be_changed() and `method` has
// otherwise than the run began with: that is written anew.
void check_config(const std::string& path, const Json& written, const Json& began, Method& method);

// "images 41 instead of 40, …"; empty if the same, and where nothing is known of what was.
std::string differences_of(const DataIdentity& was, const DataIdentity& is);

// Sets each field that names a place (the data, GPT-2's byte-pair files) to what `replace` makes of it.
void replace_places(Method& method, const std::function<std::string(const std::string&)>& replace);

}  // namespace gestalt
