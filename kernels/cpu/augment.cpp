// The augmentation kernel on the CPU: a thread takes whole views, and keeps one view's planes in its cache.
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/augment_formulas.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t block_pixels = 1024;  // of three planes: what the pointwise operations keep in the first cache

typedef float Float4 __attribute__((vector_size(16)));

// The resampling of one axis: for each output its first input and its normalised weights.
struct Resampling {
  std::vector<int32_t> first, count;
  std::vector<float> weight;  // (size, taps)
  int64_t taps = 0;

  void set(int64_t size, double scale, double origin, int32_t begin, int32_t end, double gain) {
    taps = resample_taps(scale);
    first.resize(size), count.resize(size), weight.resize(size * taps);
    for (int64_t i = 0; i < size; ++i) {
      const ResampleWindow window = resample_window(static_cast<int32_t>(i), scale, origin, begin, end);
      first[i] = window.first, count[i] = window.count;
      float* w = weight.data() + i * taps;
      float total = 0;
      for (int32_t k = 0; k < window.count; ++k) total += w[k] = window.weight(k);
      // Total is 0 only where rounding pushed a box over the border: then the window is the border's one pixel.
      for (int32_t k = 0; k < window.count; ++k) w[k] = static_cast<float>(total > 0 ? w[k] * gain / total : gain);
    }
  }
};

// What a thread works in, kept between launches.
struct Scratch {
  Resampling rows, columns;
  std::vector<float> plane[3];    // (size, size) each
  std::vector<float> strip;       // one output row before the horizontal resampling, interleaved
  std::vector<float> line;        // a mirrored row for the blur, or an interleaved output row
  std::vector<float> blur;        // weights
  std::vector<int64_t> tap_rows;  // where the plane rows start that one blurred row sums
};

// strip[j] = Σ_k weight[k] · rows[k][j] over bytes.
void blend_rows(const uint8_t* rows, int64_t stride, const float* weight, int32_t count, float* strip, int64_t width) {
  int32_t k = 0;
  if (count % 2 == 1) {
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) strip[j] = weight[0] * static_cast<float>(rows[j]);
    k = 1;
  } else {
    const uint8_t* next = rows + stride;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j)
      strip[j] = weight[0] * static_cast<float>(rows[j]) + weight[1] * static_cast<float>(next[j]);
    k = 2;
  }
  for (; k < count; k += 2) {
    const uint8_t *a = rows + k * stride, *b = a + stride;
    const float wa = weight[k], wb = weight[k + 1];
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) strip[j] += wa * static_cast<float>(a[j]) + wb * static_cast<float>(b[j]);
  }
}

// One output row in planes from its interleaved strip; the fourth lane reads the next pixel's red and is dropped.
void resample_columns(const float* strip, const Resampling& columns, bool flip, float* r, float* g, float* b,
                      int64_t size) {
  for (int64_t x = 0; x < size; ++x) {
    const float* w = columns.weight.data() + x * columns.taps;
    const float* from = strip + columns.first[x] * 3;
    Float4 sum = {};
    for (int32_t k = 0; k < columns.count[x]; ++k) {
      Float4 pixel;
      std::memcpy(&pixel, from + 3 * k, sizeof pixel);
      sum += w[k] * pixel;
    }
    const int64_t to = flip ? size - 1 - x : x;
    r[to] = sum[0], g[to] = sum[1], b[to] = sum[2];
  }
}

template <class F>
void each_pixel(float* r, float* g, float* b, int64_t count, F&& f) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const Rgb p = f(Rgb{r[i], g[i], b[i]});
    r[i] = p.r, g[i] = p.g, b[i] = p.b;
  }
}

double luma_sum(const float* r, const float* g, const float* b, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += luma({r[i], g[i], b[i]});
  return sum;
}

void apply(ColorOp op, const AugmentDraw& d, float mean, float* r, float* g, float* b, int64_t count) {
  switch (op) {
    case ColorOp::brightness:
      if (d.brightness == 1) return;
      return each_pixel(r, g, b, count, [f = d.brightness](Rgb p) { return adjust_brightness(p, f); });
    case ColorOp::contrast:
      return each_pixel(r, g, b, count, [f = d.contrast, mean](Rgb p) { return blend(p, mean, f); });
    case ColorOp::saturation:
      if (d.saturation == 1) return;
      return each_pixel(r, g, b, count, [f = d.saturation](Rgb p) { return blend(p, luma(p), f); });
    case ColorOp::hue:
      if (d.hue == 0) return;
      return each_pixel(r, g, b, count, [f = d.hue](Rgb p) { return adjust_hue(p, f); });
  }
}

// out[x] = Σ_k weight[k] · source(k)[x] from x on, as long as `parts` registers of it are left; returns where it ends.
template <class Vector, int parts, class Source>
int64_t weigh_tiles(const float* weight, int32_t taps, Source source, float* out, int64_t x, int64_t size) {
  constexpr int64_t lanes = sizeof(Vector) / sizeof(float);
  for (; x + parts * lanes <= size; x += parts * lanes) {
    Vector sum[parts] = {};
    for (int32_t k = 0; k < taps; ++k) {
      const float* row = source(k) + x;
      for (int i = 0; i < parts; ++i) {
        Vector value;
        std::memcpy(&value, row + lanes * i, sizeof value);
        sum[i] += weight[k] * value;
      }
    }
    std::memcpy(out + x, sum, sizeof sum);
  }
  return x;
}

// The whole row of a convolution, in tiles whose sums stay in registers: of the processor's size, a vector of more is
// in memory.
template <class Source>
void weigh_rows(const float* weight, int32_t taps, Source source, float* out, int64_t size) {
  using Vector = Simd<float>::Vector;
  int64_t x = weigh_tiles<Vector, 256 / vector_bytes>(weight, taps, source, out, 0, size);
  x = weigh_tiles<Vector, 1>(weight, taps, source, out, x, size);
  x = weigh_tiles<Float4, 1>(weight, taps, source, out, x, size);
  weigh_tiles<float, 1>(weight, taps, source, out, x, size);
}

// Blurs rows [0, rows) of a plane in place, horizontally. `line` holds size + 2·radius floats.
void blur_rows(float* plane, int64_t rows, int64_t size, const float* weight, int32_t radius, float* line) {
  for (int64_t y = 0; y < rows; ++y) {
    float* row = plane + y * size;
    std::memcpy(line + radius, row, size * sizeof(float));
    for (int64_t i = 1; i <= radius; ++i) {
      line[radius - i] = row[reflect(-i, size)];
      line[radius + size - 1 + i] = row[reflect(size - 1 + i, size)];
    }
    weigh_rows(
        weight, 2 * radius + 1, [line](int32_t k) { return line + k; }, row, size);
  }
}

// Solarizes, normalises and interleaves `count` pixels. `line` holds 3·count floats.
template <class T>
void write_pixels(const AugmentParameters& p, bool invert, const float* const channel[3], int64_t count, T* y,
                  float* line) {
  float* interleaved = line;
  if constexpr (std::is_same_v<T, float>) interleaved = y;
  const float *r = channel[0], *g = channel[1], *b = channel[2];
  const float threshold = invert ? p.solarize_threshold : std::numeric_limits<float>::infinity();
  float scale[3], shift[3];
  for (int c = 0; c < 3; ++c) scale[c] = 1.0f / p.std[c], shift[c] = -p.mean[c] / p.std[c];
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    interleaved[3 * i] = solarize(r[i], threshold) * scale[0] + shift[0];
    interleaved[3 * i + 1] = solarize(g[i], threshold) * scale[1] + shift[1];
    interleaved[3 * i + 2] = solarize(b[i], threshold) * scale[2] + shift[2];
  }
  if constexpr (!std::is_same_v<T, float>) {
#pragma omp simd
    for (int64_t i = 0; i < 3 * count; ++i) y[i].bits = BFloat16(line[i]).bits;
  }
}

class View {
 public:
  View(const Augment& k, int64_t view, int64_t image, Scratch& scratch)
      : s_(scratch), p_(k.view[view]), frame_(k.frames[image]), size_(k.size) {
    d_ = k.draws ? k.draws[view * k.count + image]
                 : draw_augment(p_, k.seed, k.step, static_cast<uint32_t>(k.samples[image]),
                                static_cast<uint32_t>(k.first_view + view), frame_.height, frame_.width, size_);
    pixels_ = k.pixels.as<uint8_t>() + frame_.offset;
    contrast_at_ = 4;
    for (int i = 0; i < 4; ++i)
      if (d_.order[i] == ColorOp::contrast && d_.contrast != 1) contrast_at_ = i;
    for (auto& plane : s_.plane) plane.resize(size_ * size_);
    block_rows_ = std::max<int64_t>(1, block_pixels / size_);
  }

  template <class T>
  void write(T* y) {
    const double luma_total = crop_and_color();
    const float mean = static_cast<float>(luma_total / static_cast<double>(size_ * size_));
    const int32_t radius = d_.blur_sigma > 0 ? blur_radius(p_, d_.blur_sigma, size_) : 0;
    s_.line.resize(std::max(3 * block_rows_ * size_, size_ + 2 * radius) + 3 * size_);
    if (radius > 0) set_blur(radius);
    for (int64_t begin = 0; begin < size_; begin += block_rows_) {
      const int64_t rows = std::min(block_rows_, size_ - begin);
      float* at[3];
      for (int c = 0; c < 3; ++c) at[c] = s_.plane[c].data() + begin * size_;
      color_after_mean(mean, at, rows * size_);
      if (radius > 0)
        for (float* plane : at) blur_rows(plane, rows, size_, s_.blur.data(), radius, s_.line.data());
      else
        write_pixels(p_, d_.solarize, at, rows * size_, y + begin * size_ * 3, s_.line.data());
    }
    if (radius > 0) write_blurred(radius, y);
  }

 private:
  // Resamples into the planes and applies what comes before contrast; returns the sum of luma.
  double crop_and_color() {
    const double y_scale = d_.height / static_cast<double>(size_), x_scale = d_.width / static_cast<double>(size_);
    const int32_t top = d_.clip ? static_cast<int32_t>(d_.top) : 0, left = d_.clip ? static_cast<int32_t>(d_.left) : 0;
    const int32_t bottom = d_.clip ? top + static_cast<int32_t>(d_.height) : frame_.height;
    const int32_t right = d_.clip ? left + static_cast<int32_t>(d_.width) : frame_.width;
    s_.rows.set(size_, y_scale, d_.top, top, bottom, 1.0 / 255.0);
    s_.columns.set(size_, x_scale, d_.left - left, 0, right - left, 1.0);
    const int64_t stride = int64_t{frame_.width} * 3, width = int64_t{right - left} * 3;
    s_.strip.resize(width + 1);
    s_.strip[width] = 0;
    float *r = s_.plane[0].data(), *g = s_.plane[1].data(), *b = s_.plane[2].data();
    double sum = 0;
    for (int64_t begin = 0; begin < size_; begin += block_rows_) {
      const int64_t end = std::min(size_, begin + block_rows_), count = (end - begin) * size_;
      for (int64_t y = begin; y < end; ++y) {
        const uint8_t* from = pixels_ + s_.rows.first[y] * stride + left * 3;
        blend_rows(from, stride, s_.rows.weight.data() + y * s_.rows.taps, s_.rows.count[y], s_.strip.data(), width);
        resample_columns(s_.strip.data(), s_.columns, d_.flip, r + y * size_, g + y * size_, b + y * size_, size_);
      }
      const int64_t at = begin * size_;
      for (int i = 0; i < contrast_at_; ++i)
        if (d_.order[i] != ColorOp::contrast) apply(d_.order[i], d_, 0, r + at, g + at, b + at, count);
      if (contrast_at_ < 4) sum += luma_sum(r + at, g + at, b + at, count);
    }
    return sum;
  }

  void color_after_mean(float mean, float* const at[3], int64_t count) {
    for (int i = contrast_at_; i < 4; ++i) apply(d_.order[i], d_, mean, at[0], at[1], at[2], count);
    if (d_.grayscale)
      each_pixel(at[0], at[1], at[2], count, [](Rgb p) {
        const float l = luma(p);
        return Rgb{l, l, l};
      });
  }

  void set_blur(int32_t radius) {
    s_.blur.resize(2 * radius + 1);
    float total = 0;
    for (int32_t k = -radius; k <= radius; ++k) total += s_.blur[k + radius] = blur_weight(k, d_.blur_sigma);
    for (float& w : s_.blur) w /= total;
  }

  template <class T>
  void write_blurred(int32_t radius, T* y) {
    float* row = s_.line.data() + 3 * size_;
    const float* const channel[3] = {row, row + size_, row + 2 * size_};
    s_.tap_rows.resize(2 * radius + 1);
    for (int64_t i = 0; i < size_; ++i) {
      for (int32_t k = -radius; k <= radius; ++k) s_.tap_rows[k + radius] = reflect(i + k, size_) * size_;
      for (int c = 0; c < 3; ++c) {
        const auto tap = [plane = s_.plane[c].data(), rows = s_.tap_rows.data()](int32_t k) { return plane + rows[k]; };
        weigh_rows(s_.blur.data(), 2 * radius + 1, tap, row + c * size_, size_);
      }
      write_pixels(p_, d_.solarize, channel, size_, y + i * size_ * 3, s_.line.data());
    }
  }

  Scratch& s_;
  const AugmentParameters& p_;
  const Frame frame_;
  const int64_t size_;
  AugmentDraw d_;
  const uint8_t* pixels_;
  int contrast_at_;  // position of contrast in the order; 4: none, so no mean is needed
  int64_t block_rows_;
};

}  // namespace

void run(const Augment& k, Stream) {
  check(k.views >= 0 && k.views <= max_augment_views, "[augment] got {} views in a launch, expected at most {}",
        k.views, max_augment_views);
  check(k.size > 0, "[augment] got views of {} pixels, expected at least 1", k.size);
  check(k.y.dtype == DType::f32 || k.y.dtype == DType::bf16, "[augment] got views of {}, expected f32 or bf16",
        name(k.y.dtype));
  check(k.pixels.dtype == DType::u8, "[augment] got pixels of {}, expected u8", name(k.pixels.dtype));
  const auto write = [&](auto tag) {
    using T = decltype(tag);
    T* y = k.y.as<T>();
    const int64_t view_pixels = k.size * k.size * 3;
    // An image's views come one after another, while its bytes are in the cache.
    parallel_ranges(k.count * k.views, 1, [&](int64_t begin, int64_t end) {
      thread_local Scratch scratch;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / k.views, view = i % k.views;
        View(k, view, image, scratch).write(y + (view * k.count + image) * view_pixels);
      }
    });
  };
  if (k.y.dtype == DType::bf16) return write(BFloat16{});
  write(float{});
}

}  // namespace gestalt::kernels::cpu
