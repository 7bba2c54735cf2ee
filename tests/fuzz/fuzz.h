// What the fuzz targets share: a file that the input stands in, and what counts as a finding.
//
// A target is one file NAME.cpp with LLVMFuzzerTestOneInput(); its seeds lie in corpus/NAME. Readers may refuse any
// input with Error. Everything else is a finding: a crash, what the sanitizers see, another exception, a broken
// promise.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "kernels/check.h"

namespace gestalt::fuzz {

using Input = std::span<const uint8_t>;

inline std::string_view text_of(Input input) { return {reinterpret_cast<const char*>(input.data()), input.size()}; }

// A folder of this process in memory, with the same path for each input.
inline const std::string& folder() {
  static const struct Folder {
    Folder() {
      const std::filesystem::path base = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
      path = base / "gestalt-fuzz-XXXXXX";
      if (!mkdtemp(path.data())) std::abort();
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string path;
  } made;
  return made.path;
}

// Writes `input` as the file `name` of folder(); returns its path.
inline std::string file(const std::string& name, Input input) {
  const std::string path = folder() + "/" + name;
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
  return path;
}

// Takes the first `count` bytes off `input`, or as many as there are.
inline Input take(Input& input, size_t count) {
  const Input taken = input.first(std::min(count, input.size()));
  input = input.subspan(taken.size());
  return taken;
}

// Takes a part off `input` that is as long as its first two bytes say.
inline Input take_part(Input& input) {
  const Input length = take(input, 2);
  return take(input, length.size() == 2 ? length[0] | length[1] << 8 : 0);
}

// What the reader has promised.
inline void expect(bool held) {
  if (!held) std::abort();
}

// Runs `read`, which may refuse.
template <class F>
void refused_or(F&& read) {
  try {
    read();
  } catch (const Error&) {}
}

}  // namespace gestalt::fuzz
