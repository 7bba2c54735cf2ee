// Image files to uint8 pixels, through libjpeg-turbo, libspng, stb and further libraries, and resampling.
#include "engine/data/images/image_codec.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "engine/data/images/alpha.h"
#include "engine/data/images/bmp.h"
#include "engine/data/images/gif.h"
#include "engine/data/images/image_header.h"
#include "engine/data/images/jpeg.h"
#include "engine/data/images/more_formats.h"
#include "engine/data/images/orientation.h"
#include "engine/data/images/png.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

// What stb may ask for while it decodes one image on this thread. Blocks are linked, so that none outlives the decode.
class Budget {
 public:
  explicit Budget(size_t bytes) : left_(bytes) { current = this; }
  Budget(const Budget&) = delete;
  ~Budget() {
    while (blocks_) give(blocks_ + 1);
    current = nullptr;
  }

  void* take(size_t bytes) {
    if (bytes > left_) return refused_ = true, nullptr;
    auto* block = static_cast<Block*>(std::malloc(sizeof(Block) + bytes));
    if (!block) return nullptr;
    *block = {nullptr, blocks_, bytes};
    if (blocks_) blocks_->before = block;
    blocks_ = block;
    left_ -= bytes;
    return block + 1;
  }
  void give(void* memory) {
    if (!memory) return;
    Block* block = static_cast<Block*>(memory) - 1;
    (block->before ? block->before->after : blocks_) = block->after;
    if (block->after) block->after->before = block->before;
    left_ += block->bytes;
    std::free(block);
  }
  void* retake(void* memory, size_t bytes) {
    void* larger = take(bytes);
    if (!larger || !memory) return larger;
    std::memcpy(larger, memory, std::min(bytes, (static_cast<Block*>(memory) - 1)->bytes));
    give(memory);
    return larger;
  }
  bool refused() const { return refused_; }

  static thread_local Budget* current;

 private:
  struct alignas(16) Block {
    Block *before, *after;
    size_t bytes;
  };

  Block* blocks_ = nullptr;
  size_t left_;
  bool refused_ = false;
};

thread_local Budget* Budget::current = nullptr;

}  // namespace
}  // namespace gestalt

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STBI_MALLOC(bytes) gestalt::Budget::current->take(bytes)
#define STBI_REALLOC(memory, bytes) gestalt::Budget::current->retake(memory, bytes)
#define STBI_FREE(memory) gestalt::Budget::current->give(memory)
#define STBI_ASSERT(x) gestalt::check(x, "is damaged (stb: {})", #x)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wsign-compare"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <stb_image.h>
#pragma GCC diagnostic pop

namespace gestalt {
namespace {

using Bytes = std::span<const uint8_t>;

int length_of(Bytes bytes) {
  check(bytes.size() <= INT32_MAX, "is {} bytes long, more than an image may be", bytes.size());
  return static_cast<int>(bytes.size());
}

Image decode_with_stb(Bytes bytes, ImageSize size, int channels, size_t budget_bytes) {
  Budget budget(budget_bytes);
  int width = 0, height = 0, stored = 0;
  const stbi_uc* pixels = stbi_load_from_memory(bytes.data(), length_of(bytes), &width, &height, &stored, channels);
  check(!budget.refused(), "is damaged: decoding it asks for more memory than {} x {} pixels need", size.width,
        size.height);
  check(pixels, "is damaged ({})", stbi_failure_reason());
  check(width == size.width && height == size.height, "is damaged: it decodes to {} x {} but its header says {} x {}",
        width, height, size.width, size.height);
  return {{pixels, pixels + static_cast<size_t>(width) * height * channels}, height, width};
}

Image decode_bmp(Bytes bytes, ImageSize size) {
  const PlainBmp plain = plain_bmp(bytes);
  const size_t budget = (size_t{1} << 20) + static_cast<size_t>(size.height) * static_cast<size_t>(size.width) * 8;
  Image image = decode_with_stb(plain.bytes, size, plain.has_alpha ? 4 : 3, budget);
  if (plain.has_alpha) blend_over_white(image.pixels);
  return image;
}

Image decode_gif(Bytes bytes, ImageSize size) {
  const PlainGif plain = plain_gif(bytes);
  const size_t budget = (size_t{1} << 20) + static_cast<size_t>(size.height) * static_cast<size_t>(size.width) * 16;
  Image image = decode_with_stb(plain.bytes, size, 4, budget);
  finish_gif(plain, image);
  return image;
}

// The smallest of 1/1, 1/2, 1/4, 1/8 (those have vector code) that leaves the short side no shorter than wanted.
int jpeg_divisor(ImageSize stored, const DecodeOptions& options) {
  if (options.short_side <= 0 || options.crop) return 1;
  int divisor = 8;
  while (divisor > 1 && (std::min(stored.width, stored.height) + divisor - 1) / divisor < options.short_side)
    divisor /= 2;
  return divisor;
}

// For each output position, the first source position and the weights of those from there on.
struct Filter {
  int taps;
  std::vector<int> first;
  std::vector<float> weight;  // (output, taps)

  // Maps [begin, begin + extent) of a line of `length` pixels to `output` pixels.
  Filter(int length, double begin, double extent, int output) {
    const double step = extent / output, reach = std::max(step, 1.0);
    taps = static_cast<int>(2 * reach) + 2;
    first.resize(output);
    weight.assign(static_cast<size_t>(output) * taps, 0.0f);
    for (int i = 0; i < output; ++i) {
      const double centre = begin + (i + 0.5) * step;
      const int low = std::clamp(static_cast<int>(std::floor(centre - reach + 0.5)), 0, length - 1);
      const int high = std::clamp(static_cast<int>(std::floor(centre + reach + 0.5)), low + 1, length);
      double sum = 0;
      for (int k = low; k < high; ++k) sum += triangle((k + 0.5 - centre) / reach);
      for (int k = low; k < high; ++k)
        weight[static_cast<size_t>(i) * taps + k - low] =
            static_cast<float>(sum > 0 ? triangle((k + 0.5 - centre) / reach) / sum : 1.0 / (high - low));
      first[i] = low;
      if (low + taps > length) shift_back(i, low + taps - length);
    }
  }

 private:
  static double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

  // Keeps all taps inside the line, so that the loops over them need no bounds.
  void shift_back(int i, int by) {
    by = std::min(by, first[i]);
    float* w = weight.data() + static_cast<size_t>(i) * taps;
    std::move_backward(w, w + taps - by, w + taps);
    std::fill(w, w + by, 0.0f);
    first[i] -= by;
  }
};

struct Box {
  double y, x, height, width;
};

// Separable: along rows into floats, then down the columns.
Image resample(const Image& source, Box box, int height, int width) {
  const Filter across(source.width, box.x, box.width, width), down(source.height, box.y, box.height, height);
  const size_t row = static_cast<size_t>(width) * 3;
  std::vector<float> lines(static_cast<size_t>(source.height) * row);
  const int across_taps = std::min(across.taps, source.width), down_taps = std::min(down.taps, source.height);
  const int from = *std::min_element(down.first.begin(), down.first.end());
  const int to = std::min(source.height, *std::max_element(down.first.begin(), down.first.end()) + down_taps);
  for (int y = from; y < to; ++y) {
    const uint8_t* in = source.pixels.data() + static_cast<size_t>(y) * source.width * 3;
    float* out = lines.data() + y * row;
    for (int x = 0; x < width; ++x) {
      const uint8_t* p = in + static_cast<size_t>(across.first[x]) * 3;
      const float* w = across.weight.data() + static_cast<size_t>(x) * across.taps;
      float r = 0, g = 0, b = 0;
      for (int k = 0; k < across_taps; ++k, p += 3) r += w[k] * p[0], g += w[k] * p[1], b += w[k] * p[2];
      out[3 * x] = r, out[3 * x + 1] = g, out[3 * x + 2] = b;
    }
  }
  Image result{std::vector<uint8_t>(static_cast<size_t>(height) * row), height, width};
  std::vector<float> sum(row);
  for (int y = 0; y < height; ++y) {
    std::fill(sum.begin(), sum.end(), 0.5f);
    for (int k = 0; k < down_taps; ++k) {
      const float w = down.weight[static_cast<size_t>(y) * down.taps + k];
      const float* line = lines.data() + (down.first[y] + k) * row;
      if (w != 0.0f)
        for (size_t i = 0; i < row; ++i) sum[i] += w * line[i];
    }
    uint8_t* out = result.pixels.data() + y * row;
    for (size_t i = 0; i < row; ++i) out[i] = static_cast<uint8_t>(std::clamp(sum[i], 0.0f, 255.0f));
  }
  return result;
}

}  // namespace

ImageSize decoded_size(ImageSize stored, const DecodeOptions& options) {
  const int32_t side = options.short_side, shortest = std::min(stored.height, stored.width);
  if (side <= 0) return stored;
  if (options.crop) return {stored.format, side, side};
  if (shortest <= side) return stored;
  auto scaled = [&](int32_t extent) { return static_cast<int32_t>(static_cast<int64_t>(extent) * side / shortest); };
  return {stored.format, scaled(stored.height), scaled(stored.width)};
}

// `stored` is the size in the file, which the pixels may be a shrunk form of.
static Image fit(Image image, ImageSize stored, const DecodeOptions& options) {
  const ImageSize wanted = decoded_size(stored, options);
  if (wanted.height == image.height && wanted.width == image.width) return image;
  Box box{0, 0, static_cast<double>(image.height), static_cast<double>(image.width)};
  if (options.crop) {
    const double side = std::min(box.height, box.width);
    box = {(box.height - side) / 2, (box.width - side) / 2, side, side};
  }
  return resample(image, box, wanted.height, wanted.width);
}

Image resize_image(Image image, const DecodeOptions& options) {
  const ImageSize stored{ImageFormat::png, image.height, image.width};
  return fit(std::move(image), stored, options);
}

Image decode_image(Bytes bytes, const DecodeOptions& options) {
  const ImageSize size = read_image_size(bytes);
  check_plausible(bytes, size, options.max_pixels);
  const auto decode = [&]() -> Image {
    switch (size.format) {
      case ImageFormat::jpeg:
        return decode_jpeg(bytes, jpeg_divisor(size, options));
      case ImageFormat::png:
        return decode_png(bytes, size);
      case ImageFormat::bmp:
        return decode_bmp(bytes, size);
      case ImageFormat::gif:
        return decode_gif(bytes, size);
      case ImageFormat::webp:
        return decode_webp(bytes, size);
      case ImageFormat::tiff:
        return decode_tiff(bytes, size);
      case ImageFormat::heif:
        return decode_heif(bytes, size);
    }
    fail("is of an unknown format");
  };
  return upright(fit(decode(), size, options), read_orientation(bytes, size.format));
}

}  // namespace gestalt
