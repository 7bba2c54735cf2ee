// The program's commands as a user types them, and what they print.
#pragma once

#include <string>

#include "tools/commands.h"

namespace gestalt::test {

void add_all_commands(const tools::CommandLine& program);

// What `gestalt LINE` prints; a message follows if it fails.
std::string gestalt_prints(const std::string& line);

}  // namespace gestalt::test
