// Image files of every format that is read: the pixels are as many as the header says.
#include "engine/data/images/image_codec.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::Input bytes{data, size};
  const auto whole = [](const Image& image) {
    fuzz::expect(image.height > 0 && image.width > 0);
    fuzz::expect(image.pixels.size() ==
                 size_t{3} * static_cast<size_t>(image.height) * static_cast<size_t>(image.width));
  };
  constexpr int64_t most = 1 << 20;
  fuzz::refused_or([&] { read_image_size(bytes); });
  fuzz::refused_or([&] { whole(decode_image(bytes, {.max_pixels = most})); });
  fuzz::refused_or([&] {
    const Image image = decode_image(bytes, {.short_side = 24, .crop = true, .max_pixels = most});
    whole(image);
    fuzz::expect(image.height == 24 && image.width == 24);
  });
  return 0;
}
