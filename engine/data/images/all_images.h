// All images that a source has, in its own order: for what is done to images rather than learned from them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/data/images/image_set.h"

namespace gestalt {

struct AllImages {
  std::shared_ptr<ImageSet> set;
  std::vector<std::string> splits;  // one an image: "train", "test", or "pretrain" for what neither of these holds
  std::vector<int32_t> labels;      // one an image, −1 for an unlabelled one
  const std::string& label_name(int64_t index) const;  // "" for an unlabelled one
};

// Images of the split "train", "test" or "pretrain", as evaluations have them, or of "all": each image once, with the
// split that it is in. Where a source has no test split of its own, "all" are in the source's order, the held-out ones
// (of labelled images) among the others. `options.split` and `hold_out` are not looked at.
AllImages open_all_images(const std::string& spec, const std::string& split, OpenOptions options);

}  // namespace gestalt
