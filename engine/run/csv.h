// Tables of comma-separated values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gestalt {

// What stands between the separators, one more than there are of them; no quotes.
std::vector<std::string> split(std::string_view text, char separator);

// A cell, in quotes where it needs them (RFC 4180).
std::string csv_cell(const std::string& text);

}  // namespace gestalt
