// Where the files lie that tests read: golden records, and for the structure test the tree itself.
#pragma once

#include <string>

namespace gestalt::test {

// The path of `below` in GESTALT_SOURCE (environment), else in the folder `source` beside the program, as a bundle has
// it, else where the program was built from.
std::string source_path(const std::string& below);

}  // namespace gestalt::test
