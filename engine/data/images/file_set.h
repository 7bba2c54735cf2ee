// Sets of image files, wherever these lie: in a folder, in archives, or in a list.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/data/images/sources.h"

namespace gestalt {

// The files of a split, by number. `read` and `path` may be called from any thread.
struct ImageFiles {
  std::string name;                      // of the set, "images:DIR"
  std::vector<std::string> names;        // as ImageSet::image_name()
  std::vector<int32_t> labels;           // one a file, or none
  std::vector<std::string> class_names;  // over both splits
  DamageReport report;
  std::string note;                                        // what was taken for what, for people
  std::function<Bytes(int64_t index, int64_t most)> read;  // throws Error; all of it if `most` is negative
  std::function<uint64_t(int64_t index)> bytes;            // its size; a broken file may have any
  std::function<std::string(int64_t index)> identity;      // the name that checksums and damage are told by
  std::function<std::string(int64_t index)> path = {};     // of files that stand by themselves
};

// Held in memory where their pixels fit `options.resident_bytes`, without damaged ones; else decoded as they are
// needed.
SetPointer open_files(ImageFiles files, const OpenOptions& options);

}  // namespace gestalt
