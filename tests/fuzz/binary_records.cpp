// The binary records of CIFAR-10, CIFAR-100 and STL-10, by the first byte.
#include "engine/data/images/image_set.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input{data, size};
  const fuzz::Input kind = fuzz::take(input, 1);
  const auto opens = [](const std::string& spec) {
    fuzz::refused_or([&] {
      const auto set = open_images(spec + ":" + fuzz::folder(), {.split = "test", .threads = 1});
      for (int64_t i = 0; i < std::min<int64_t>(set->size(), 8); ++i) set->decode(i);
    });
  };
  switch (kind.empty() ? 0 : kind[0] % 3) {
    case 0:
      fuzz::file("test_batch.bin", input);
      opens("cifar10");
      break;
    case 1:
      fuzz::file("test.bin", input);
      opens("cifar100");
      break;
    default:
      fuzz::file("test_y.bin", fuzz::take_part(input));
      fuzz::file("test_X.bin", input);
      opens("stl10");
  }
  return 0;
}
