// Opening the splits of one set.
#include "engine/data/images/splits.h"

namespace gestalt {

ImageSplits open_splits(const std::string& spec, int64_t size, int threads) {
  OpenOptions options{.split = "pretrain", .hold_out = true, .decode_size = decode_size(size), .threads = threads};
  ImageSplits splits;
  splits.pretrain = splits.train = open_images(spec, options);
  if (splits.pretrain->labels().empty()) {
    options.split = "train";
    splits.train = open_images(spec, options);
  }
  options.split = "test";
  if (!splits.train->labels().empty()) splits.test = open_images(spec, options);
  return splits;
}

int64_t own_size(const ImageSet& set) {
  check(set.resident() && !set.frames().empty(), "[data] {} has images of several sizes; give the views' --size",
        set.name());
  const kernels::Frame first = set.frames()[0];
  for (const kernels::Frame& f : set.frames())
    check(f.height == first.height && f.width == f.height,
          "[data] {} has images of {}x{} and {}x{} pixels; give the views' --size", set.name(), first.height,
          first.width, f.height, f.width);
  return first.height;
}

}  // namespace gestalt
