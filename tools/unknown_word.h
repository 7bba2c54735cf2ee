// A word on the command line that is no flag and no command: what was meant.
#pragma once

#include <string>
#include <vector>

namespace gestalt::tools {

struct KnownCommand {
  std::string name;
  std::vector<std::string> known_as;  // words that others call it by
};

// "unknown flag '--bacth'; did you mean '--batch'?"; with `help` at its end where nothing is near. `flags` have their
// dashes.
std::string unknown_word(const std::string& word, const std::vector<std::string>& flags,
                         const std::vector<KnownCommand>& commands, const std::string& help);

}  // namespace gestalt::tools
