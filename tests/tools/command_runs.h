// What the tests of commands share: a command line that is run here, and runs to look at.
#pragma once

#include <string>

#include "engine/data/images/image_codec.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {

// What `gestalt LINE` prints; a message follows if it fails.
std::string gestalt_prints(const std::string& line);
Image image_in(const std::string& file);
inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Runs of a step or two; tests look at them, no test changes them.
struct Runs {
  TemporaryFolder folder;
  std::string simclr = make("simclr"), mae = make("mae"), gpt = make("gpt");

  std::string make(const std::string& method);
};
const Runs& runs();

}  // namespace gestalt::test
