// Which folders are splits by their names: "train", "Testing", "val2017", "training_set", "seg_test".
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace gestalt {

struct SplitName {
  enum class Kind { none, train, test } kind = Kind::none;
  size_t rank = 0;      // of several test splits that of the lowest rank is taken
  std::string of_what;  // what else the name says, without numbers and words such as "set" and "images"
  bool bare = false;    // the name is such a word alone

  explicit operator bool() const { return kind != Kind::none; }
};
SplitName split_name(const std::string& folder);

// Those among folders side by side: of one thing, with a training and a test split of it unless the names are bare or
// say no more than that. Either may be empty.
struct SplitFolders {
  std::vector<std::string> trains, tests;
};
SplitFolders split_folders(const std::vector<std::string>& folders);

}  // namespace gestalt
