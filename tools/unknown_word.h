// A word on the command line that is no flag and no command: what was meant.
#pragma once

#include <string>

#include "tools/command_tree.h"

namespace gestalt::tools {

// "unknown flag '--bacth'; did you mean '--batch'?" for a word after `command`; with `help` at its end where nothing is
// near.
std::string unknown_word(const std::string& word, const CommandEntry& command, const std::string& help);

}  // namespace gestalt::tools
