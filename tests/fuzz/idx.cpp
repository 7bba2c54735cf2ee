// MNIST's IDX files: one for images, one for labels.
#include "engine/data/images/image_set.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input{data, size};
  fuzz::file("train-labels-idx1-ubyte", fuzz::take_part(input));
  fuzz::file("train-images-idx3-ubyte", input);
  fuzz::refused_or([] {
    const auto set = open_images("mnist:" + fuzz::folder(), {.threads = 1});
    for (int64_t i = 0; i < std::min<int64_t>(set->size(), 8); ++i) set->decode(i);
  });
  return 0;
}
