// Where tests find real data: $GESTALT_DATA, or ../shared/data beside the project.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/source_path.h"

namespace gestalt::test {

// The path of `name` in the data folder; empty, after saying so, where it is not there.
inline std::string find_data(const std::string& name) {
  const char* folder = std::getenv("GESTALT_DATA");
  const std::filesystem::path base = folder ? folder : source_path("../shared/data");
  if (std::filesystem::exists(base / name)) return base / name;
  std::printf("skipped: no data (%s)\n", name.c_str());
  return "";
}

}  // namespace gestalt::test
