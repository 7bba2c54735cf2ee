// `shapes`: a procedural set whose class is a shape and its texture, and whose pixels say little about the class.
//
// Place, size, rotation, colours, background and clutter are drawn anew for each image, from (seed, split, index)
// alone.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/data/images/sources.h"
#include "kernels/check.h"
#include "kernels/philox.h"

namespace gestalt {
namespace {

const std::vector<std::string> shape_names{"disc", "triangle", "square", "cross"};
const std::vector<std::string> texture_names{"plain", "striped", "dotted"};

struct Colour {
  float r, g, b;
};

Colour mix(Colour a, Colour b, float t) {
  return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}
float luminance(Colour c) { return 0.299f * c.r + 0.587f * c.g + 0.114f * c.b; }

// An endless line of uniform numbers for one image.
class Dice {
 public:
  Dice(uint64_t seed, uint32_t split, uint32_t sample) : seed_(seed), split_(split), sample_(sample) {}
  float operator()() {
    if (used_ == 4) block_ = draw(seed_, Use::made_up, split_, sample_, slot_++), used_ = 0;
    return uniform(block_.word[used_++]);
  }
  float between(float low, float high) { return low + (high - low) * (*this)(); }
  Colour colour() { return {(*this)(), (*this)(), (*this)()}; }
  // A colour that stands out from `other` by luminance, so that it does in greyscale too.
  Colour apart_from(Colour other, float least) {
    for (;;) {
      const Colour c = colour();
      if (std::abs(luminance(c) - luminance(other)) >= least) return c;
    }
  }

 private:
  uint64_t seed_;
  uint32_t split_, sample_, slot_ = 0;
  int used_ = 4;
  Philox4 block_{};
};

// Signed distances in units of the shape's radius, negative inside. All four cover about the same area.
float box(float x, float y, float w, float h) {
  const float dx = std::abs(x) - w, dy = std::abs(y) - h;
  return std::hypot(std::max(dx, 0.0f), std::max(dy, 0.0f)) + std::min(std::max(dx, dy), 0.0f);
}
float shape_distance(int shape, float x, float y) {
  switch (shape) {
    case 0:
      return std::hypot(x, y) - 0.9f;
    case 1:
      return std::max(-y, 0.5f * y + 0.8660254f * std::abs(x)) - 0.64f;
    case 2:
      return box(x, y, 0.8f, 0.8f);
    default:
      return std::min(box(x, y, 1.05f, 0.34f), box(x, y, 0.34f, 1.05f));
  }
}

// How much of the second colour is at (x, y), by distances in pixels of an image of 32; the edge is one pixel wide.
float texture_share(int texture, float x, float y, float period) {
  auto edge = [](float distance) { return std::clamp(0.5f - distance, 0.0f, 1.0f); };
  auto fold = [&](float v) { return std::abs(v - period * std::round(v / period)); };
  switch (texture) {
    case 0:
      return 0;
    case 1:
      return edge(fold(x) - period * 0.25f);
    default:
      return edge(std::hypot(fold(x), fold(y)) - period * 0.30f);
  }
}

struct Blob {
  float x, y, radius;
  Colour colour;
};

struct Scene {
  int shape, texture;
  float x, y, radius, cos, sin, period, phase_x, phase_y, grain, slope_x, slope_y;
  Colour ground, ground_end, first, second;
  std::vector<Blob> clutter;
};

Scene draw_scene(Dice& dice, int label) {
  Scene s{};
  s.shape = label / static_cast<int>(texture_names.size()), s.texture = label % static_cast<int>(texture_names.size());
  s.radius = dice.between(8, 12.5f);
  s.x = dice.between(s.radius - 1, 33 - s.radius), s.y = dice.between(s.radius - 1, 33 - s.radius);
  const float turn = dice() * 2 * std::numbers::pi_v<float>;
  s.cos = std::cos(turn), s.sin = std::sin(turn);
  s.period = dice.between(4.2f, 5.6f), s.phase_x = dice.between(0, s.period), s.phase_y = dice.between(0, s.period);
  s.ground = dice.colour(), s.ground_end = mix(s.ground, dice.colour(), 0.4f);
  const Colour middle = mix(s.ground, s.ground_end, 0.5f);
  s.first = dice.apart_from(middle, 0.25f);
  do s.second = dice.apart_from(s.first, 0.3f);
  while (std::abs(luminance(s.second) - luminance(middle)) < 0.12f);
  const float slope = dice() * 2 * std::numbers::pi_v<float>;
  s.slope_x = std::cos(slope) / 32, s.slope_y = std::sin(slope) / 32;
  s.grain = dice.between(0, 0.10f);
  for (int n = static_cast<int>(dice() * 5); n > 0; --n) {
    const float x = dice() * 32, y = dice() * 32, radius = dice.between(1, 2.8f);
    s.clutter.push_back({x, y, radius, dice.colour()});
  }
  return s;
}

// `side` pixels stand for the 32 units of the scene; edges are one pixel wide.
void paint(const Scene& s, Dice& dice, int side, uint8_t* out) {
  const float unit = 32.0f / static_cast<float>(side);
  for (int row = 0; row < side; ++row)
    for (int column = 0; column < side; ++column, out += 3) {
      const float px = (static_cast<float>(column) + 0.5f) * unit, py = (static_cast<float>(row) + 0.5f) * unit;
      const float along = 0.5f + (px - 16) * s.slope_x + (py - 16) * s.slope_y;
      Colour c = mix(s.ground, s.ground_end, std::clamp(along, 0.0f, 1.0f));
      auto cover = [&](float distance) { return std::clamp(0.5f - distance / unit, 0.0f, 1.0f); };
      for (const Blob& blob : s.clutter)
        c = mix(c, blob.colour, cover(std::hypot(px - blob.x, py - blob.y) - blob.radius));
      const float x = s.cos * (px - s.x) + s.sin * (py - s.y), y = s.cos * (py - s.y) - s.sin * (px - s.x);
      const float share = texture_share(s.texture, x + s.phase_x, y + s.phase_y, s.period);
      const float distance = shape_distance(s.shape, x / s.radius, y / s.radius) * s.radius;
      c = mix(c, mix(s.first, s.second, share), cover(distance));
      const float rgb[3] = {c.r, c.g, c.b};
      for (int k = 0; k < 3; ++k) {
        const float noisy = rgb[k] + s.grain * dice.between(-1, 1);
        out[k] = static_cast<uint8_t>(std::clamp(noisy * 255 + 0.5f, 0.0f, 255.0f));
      }
    }
}

}  // namespace

SetPointer open_shapes(const std::string& count_and_size, const OpenOptions& options) {
  int64_t count = 8192, side = 32;
  if (!count_and_size.empty()) {
    char* end = nullptr;
    count = std::strtoll(count_and_size.c_str(), &end, 10);
    if (*end == ':') side = std::strtoll(end + 1, &end, 10);
    check(*end == 0 && count >= 4 && count <= 10'000'000 && side >= 16 && side <= 512,
          "[data] got shapes:{}, expected shapes:COUNT:SIZE with 4 to 10000000 images of 16 to 512 pixels",
          count_and_size);
  }
  const bool test = options.split == "test";
  if (test) count /= 4;
  const int64_t bytes = side * side * 3, classes = static_cast<int64_t>(shape_names.size() * texture_names.size());
  check(count <= options.resident_bytes / bytes, "[data] got shapes:{}, which takes more than the {} MiB allowed",
        count_and_size, options.resident_bytes >> 20);
  ResidentSet::Parts parts;
  parts.name = "shapes";
  parts.split = test ? "test" : "train";
  parts.pixels = Tensor::empty({count * bytes}, DType::u8);
  parts.frames = even_frames(count, static_cast<int32_t>(side), static_cast<int32_t>(side));
  for (int64_t i = 0; i < count; ++i) parts.labels.push_back(static_cast<int32_t>(i % classes));
  for (const std::string& shape : shape_names)
    for (const std::string& texture : texture_names) parts.class_names.push_back(texture + " " + shape);
  uint8_t* pixels = parts.pixels.data<uint8_t>();
  parallel_for((count + 63) / 64, options.threads, [&](int64_t chunk) {
    for (int64_t i = chunk * 64; i < std::min(count, chunk * 64 + 64); ++i) {
      Dice dice(options.seed, test ? 2 : 1, static_cast<uint32_t>(i));
      const Scene scene = draw_scene(dice, static_cast<int>(i % classes));
      paint(scene, dice, static_cast<int>(side), pixels + i * bytes);
    }
  });
  return std::make_shared<ResidentSet>(std::move(parts));
}

}  // namespace gestalt
