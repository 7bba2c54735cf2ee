// Random mutations of image and data files: each is read or refused, and never more. Run under sanitizers in CI.
#include <doctest/doctest.h>
#include <zlib.h>

#include <cstring>

#include "engine/data/images/image_set.h"
#include "kernels/philox.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/golden/data.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

constexpr uint32_t rounds = 300;

uint32_t number(uint32_t file, uint32_t round, uint32_t at, uint32_t below) {
  return draw(1, Use::test, file, round, at).word[0] % below;
}

// Overwrites, cuts, repeats or inserts a few bytes, mostly early, where headers are.
Bytes mutate(Bytes bytes, uint32_t file, uint32_t round) {
  constexpr uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
  for (uint32_t m = 0; m <= number(file, round, 0, 4) && !bytes.empty(); ++m) {
    auto random = [&](uint32_t k, uint32_t below) { return number(file, round, 8 * m + k + 1, below); };
    const auto size = static_cast<uint32_t>(bytes.size());
    const uint32_t at = random(0, random(1, 2) ? size : std::min(size, 64u));
    switch (random(2, 8)) {
      case 0:
        bytes.resize(at);
        break;
      case 1:
        bytes.erase(bytes.begin() + at);
        break;
      case 2:
        bytes.insert(bytes.begin() + at, static_cast<uint8_t>(random(3, 256)));
        break;
      case 3:
        bytes[at] = static_cast<uint8_t>(random(3, 256));
        break;
      default:
        bytes[at] = telling[random(3, sizeof telling)];
    }
  }
  return bytes;
}

// Makes the checksums of a mutated PNG right again, so that the mutation reaches the decoder.
void mend_png(Bytes& png) {
  for (size_t at = 8; at + 12 <= png.size();) {
    const uint64_t length = uint64_t{png[at]} << 24 | png[at + 1] << 16 | png[at + 2] << 8 | png[at + 3];
    if (length > png.size() - at - 12) return;
    const auto sum = static_cast<uint32_t>(crc32(0, &png[at + 4], static_cast<uInt>(length + 4)));
    for (int i = 0; i < 4; ++i) png[at + 8 + length + i] = static_cast<uint8_t>(sum >> (24 - 8 * i));
    at += 12 + length;
  }
}

}  // namespace

TEST_CASE("data: mutated image files are decoded or refused") {
  using namespace golden;
  const std::span<const uint8_t> seeds[] = {jpeg_rgb,       jpeg_420,          jpeg_progressive, jpeg_grey,   jpeg_cmyk,
                                            png_rgb,        png_grey,          png_grey_alpha,   png_palette, png_bit,
                                            bmp_rgb,        bmp_grey,          bmp_bit,          bmp_palette, png_rgba,
                                            png_interlaced, png_palette_clear, png_16_rgba,      gif_clear};
  int decoded = 0, refused = 0;
  for (uint32_t file = 0; file < std::size(seeds); ++file)
    for (uint32_t round = 0; round < rounds; ++round) {
      Bytes bytes = mutate({seeds[file].begin(), seeds[file].end()}, file, round);
      if (round % 2 && bytes.size() > 8 && bytes[0] == 0x89) mend_png(bytes);
      try {
        const Image image = decode_image(bytes, {static_cast<int32_t>(round % 5), round % 3 == 0, 1'000'000});
        REQUIRE(image.pixels.size() == static_cast<size_t>(image.height) * image.width * 3);
        ++decoded;
      } catch (const Error&) { ++refused; }
    }
  CHECK(decoded > 100);
  CHECK(refused > 1000);
}

TEST_CASE("data: mutated data sets are opened or refused") {
  const TemporaryFolder folder;
  write_packed(*open_images("shapes:5:16"), folder / "a.packed", 0);
  const Bytes packed = read(folder / "a.packed"), images = idx({3, 5, 5}, 0), labels = idx({3}, 0);
  int opened = 0, refused = 0;
  auto attempt = [&](const std::string& spec) {
    try {
      const auto set = open_images(spec);
      for (int64_t i = 0; i < set->size(); ++i) set->decode(i);
      ++opened;
    } catch (const Error&) { ++refused; }
  };
  for (uint32_t round = 0; round < rounds; ++round) {
    write(folder / "a.packed", mutate(packed, 100, round));
    attempt("packed:" + folder / "a.packed");
    write(folder / "train-images-idx3-ubyte", round % 2 ? images : mutate(images, 101, round));
    write(folder / "train-labels-idx1-ubyte", round % 2 ? mutate(labels, 102, round) : labels);
    attempt("mnist:" + folder.path());
  }
  CHECK(opened > 20);
  CHECK(refused > 200);
}

}  // namespace gestalt::test
