// What the tests of commands share: command lines that are run here, and runs to look at.
#pragma once

#include <string>

#include "engine/data/images/image_codec.h"
#include "tests/temporary_folder.h"
#include "tests/tools/printed.h"

namespace gestalt::test {

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
