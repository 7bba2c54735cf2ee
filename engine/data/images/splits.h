// The splits of a set of images: what is learned from, and the labelled images that encoders are measured on.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/data/images/image_set.h"

namespace gestalt {

struct ImageSplits {
  std::shared_ptr<ImageSet> pretrain;  // all that may be learned from, labelled or not
  std::shared_ptr<ImageSet> train;     // labelled images; `pretrain` itself where that has labels
  std::shared_ptr<ImageSet> test;      // as evaluations see it; null where no accuracy can be measured
  std::string unmeasured;              // why, in that case
  std::function<std::shared_ptr<ImageSet>()> open_bank = {};  // empty: `train` is what bank() would be

  bool labelled() const { return test != nullptr; }
  int64_t classes() const { return static_cast<int64_t>(train->class_names().size()); }
  // `train` as evaluations see it: files are decoded to centre_views(), which is not what views are drawn from. Opened
  // when it is first asked for, by one thread.
  const std::shared_ptr<ImageSet>& bank() const;

 private:
  mutable std::shared_ptr<ImageSet> bank_;
};

// How `gestalt evaluate` opens images for views of `size`: files decoded to the view at once, as another program's
// transform would, resampled once from all pixels.
OpenOptions centre_views(int64_t size);

// Opens `spec` for views of `size` pixels (0: the images' own size). `options` say the rest.
ImageSplits open_splits(const std::string& spec, int64_t size, OpenOptions options = {});

// The "test" split, or null where no image can be held out for it.
std::shared_ptr<ImageSet> open_test(const std::string& spec, OpenOptions options);

// Throws Error, with the reason, where an accuracy on `test` (null: there is none) would say nothing: without labels,
// or with one class only.
void check_measurable(const ImageSet& train, const ImageSet* test);

// The side of a set whose images are all squares of one size. Throws Error, naming --size, for any other.
int64_t own_size(const ImageSet& set);

// The short side that images are decoded to for views of `size`: an eighth to spare. 0 for 0.
inline int32_t decode_size(int64_t size) { return static_cast<int32_t>(size * 8 / 7); }

}  // namespace gestalt
