// Packed image sets: what opens also decodes, or names the image that does not.
#include "engine/data/images/image_set.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = fuzz::file("x.gestalt", {data, size});
  for (const int64_t resident : {int64_t{1} << 20, int64_t{0}}) {
    fuzz::refused_or([&] {
      const auto set =
          open_images("packed:" + path, {.hold_out = resident == 0, .resident_bytes = resident, .threads = 1});
      for (int64_t i = 0; i < std::min<int64_t>(set->size(), 8); ++i) fuzz::refused_or([&] { set->decode(i); });
    });
  }
  return 0;
}
