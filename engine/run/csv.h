// Tables of comma-separated values.
#pragma once

#include <string>

namespace gestalt {

// A cell, in quotes where it needs them (RFC 4180).
std::string csv_cell(const std::string& text);

}  // namespace gestalt
