// The augmentation kernel on CUDA: a block makes one view, in shared memory; nothing between bytes and views is stored.
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/augment_formulas.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int most_threads = 512;
constexpr size_t declared_bytes = 2 << 10;  // at least the shared memory that the kernel has beside its layout

// One output column of the resampling. Its weights are those of a window that starts at `first`, times `gain`.
struct Column {
  int32_t first, count;
  float start, gain;
};

// How a block's shared memory is cut: planes of (plane_rows, size) for r, g and b, a strip for each warp, the columns,
// the blur's weights. With whole views in the planes, pixels are resampled once; else again after the mean is known,
// and a blur works on bands of rows.
struct Layout {
  int32_t threads, plane_rows, strip_pixels, blur_taps;
  int32_t strip_floats() const { return 3 * strip_pixels; }
  size_t bytes(int64_t size) const {
    return 4 * (3 * plane_rows * size + threads / 32 * int64_t{strip_floats()} + blur_taps) + sizeof(Column) * size;
  }
};

// The axis of rows or of columns: input pixels per output pixel, the box's edge, and where inputs are taken from.
struct Axis {
  double scale, origin;
  int32_t begin, end;
};

__device__ Axis axis_of(double box, double origin, bool clip, int32_t extent, int64_t size) {
  const int32_t begin = clip ? static_cast<int32_t>(origin) : 0;
  return {box / static_cast<double>(size), origin, begin, clip ? begin + static_cast<int32_t>(box) : extent};
}

// The sum of a window's weights, and whether it is 0: where rounding pushed a box over the border, and the window is
// the border's one pixel.
__device__ __forceinline__ float total_weight(const ResampleWindow& w) {
  float total = 0;
  for (int32_t k = 0; k < w.count; ++k) total += w.weight(k);
  return total;
}

// What all threads of a block know about their view.
struct View {
  const AugmentParameters& p;
  const AugmentDraw& d;
  int size;
  const uint8_t* pixels;  // of the image
  int64_t stride;         // bytes of an image row
  Axis rows;
  const Column* columns;
  float column_steepness;
  int columns_per_strip;  // 0: not even one output's inputs fit in a strip
  int contrast_at;        // position of contrast in the order; 4: none, so no mean is needed
  float *strip, *planes;
  int plane_rows;

  __device__ float* plane(int channel, int row) const { return planes + (channel * plane_rows + row) * size; }
  __device__ int mirrored(int x) const { return d.flip ? size - 1 - x : x; }
  __device__ static float column_weight(const Column& c, float steepness, int32_t k) {
    return ResampleWindow{0, 0, c.start, steepness}.weight(k);
  }

  // Output pixel (y, x) straight from the bytes.
  __device__ Rgb gather(const ResampleWindow& w, float row_gain, const Column& c) const {
    Rgb sum = {0, 0, 0};
    for (int32_t i = 0; i < w.count; ++i) {
      const uint8_t* from = pixels + (w.first + i) * stride + c.first * int64_t{3};
      const float of_row = w.weight(i) * row_gain;
      for (int32_t k = 0; k < c.count; ++k) {
        const float weight = of_row * column_weight(c, column_steepness, k) * c.gain;
        sum.r += weight * from[3 * k], sum.g += weight * from[3 * k + 1], sum.b += weight * from[3 * k + 2];
      }
    }
    return sum;
  }

  // Calls f(x, pixel) for output row y, by a warp: rows are blended into the strip, then columns out of it.
  template <class F>
  __device__ void resample_row(int y, F&& f) const {
    const int lane = threadIdx.x % 32;
    ResampleWindow w = resample_window(y, rows.scale, rows.origin, rows.begin, rows.end);
    const float total = total_weight(w), gain = (total > 0 ? 1 / total : 1.0f) / 255;
    if (total <= 0) w.start = 0;  // one pixel of weight 1
    if (columns_per_strip == 0) {
      for (int x = lane; x < size; x += 32) f(x, gather(w, gain, columns[x]));
      return;
    }
    for (int begin = 0; begin < size; begin += columns_per_strip) {
      const int end = begin + columns_per_strip < size ? begin + columns_per_strip : size;
      const int first = columns[begin].first, bytes = 3 * (columns[end - 1].first + columns[end - 1].count - first);
      const uint8_t* from = pixels + w.first * stride + first * int64_t{3};
      for (int j = lane; j < bytes; j += 32) {
        float sum = 0;
        for (int32_t k = 0; k < w.count; ++k) sum += w.weight(k) * from[k * stride + j];
        strip[j] = sum * gain;
      }
      __syncwarp();
      for (int x = begin + lane; x < end; x += 32) {
        const Column c = columns[x];
        const float* at = strip + 3 * (c.first - first);
        Rgb sum = {0, 0, 0};
        for (int32_t k = 0; k < c.count; ++k) {
          const float weight = column_weight(c, column_steepness, k);
          sum.r += weight * at[3 * k], sum.g += weight * at[3 * k + 1], sum.b += weight * at[3 * k + 2];
        }
        f(x, Rgb{sum.r * c.gain, sum.g * c.gain, sum.b * c.gain});
      }
      __syncwarp();
    }
  }

  __device__ Rgb apply(ColorOp op, Rgb x, float mean) const {
    switch (op) {
      case ColorOp::brightness:
        return d.brightness == 1 ? x : adjust_brightness(x, d.brightness);
      case ColorOp::contrast:
        return d.contrast == 1 ? x : blend(x, mean, d.contrast);
      case ColorOp::saturation:
        return d.saturation == 1 ? x : blend(x, luma(x), d.saturation);
      default:
        return d.hue == 0 ? x : adjust_hue(x, d.hue);
    }
  }
  __device__ Rgb before_contrast(Rgb x) const {
    for (int i = 0; i < contrast_at; ++i) x = apply(d.order[i], x, 0);
    return x;
  }
  __device__ Rgb from_contrast_on(Rgb x, float mean) const {
    for (int i = contrast_at; i < 4; ++i) x = apply(d.order[i], x, mean);
    if (!d.grayscale) return x;
    const float l = luma(x);
    return {l, l, l};
  }

  // Solarizes, normalises and stores.
  template <class T>
  __device__ void write(T* y, Rgb x) const {
    const float threshold = d.solarize ? p.solarize_threshold : std::numeric_limits<float>::infinity();
    y[0] = static_cast<T>((solarize(x.r, threshold) - p.mean[0]) / p.std[0]);
    y[1] = static_cast<T>((solarize(x.g, threshold) - p.mean[1]) / p.std[1]);
    y[2] = static_cast<T>((solarize(x.b, threshold) - p.mean[2]) / p.std[2]);
  }

  // Blurs one plane's row in place, by a warp.
  __device__ void blur_row(float* row, const float* weight, int radius) const {
    const int lane = threadIdx.x % 32;
    for (int i = lane; i < size + 2 * radius; i += 32) strip[i] = row[reflect(i - radius, size)];
    __syncwarp();
    for (int x = lane; x < size; x += 32) {
      float sum = 0;
      for (int k = 0; k <= 2 * radius; ++k) sum += weight[k] * strip[x + k];
      row[x] = sum;
    }
    __syncwarp();
  }
};

// Output rows [first, end) from planes that begin with output row `top`: the blur's second direction.
template <class T>
__device__ void write_blurred(const View& v, const float* weight, int radius, int top, int first, int end, T* to) {
  for (int y = first + static_cast<int>(threadIdx.x) / 32; y < end; y += blockDim.x / 32)
    for (int x = threadIdx.x % 32; x < v.size; x += 32) {
      Rgb sum = {0, 0, 0};
      for (int k = -radius; k <= radius; ++k) {
        const float* from = v.plane(0, static_cast<int>(reflect(y + k, v.size)) - top) + x;
        const float w = weight[k + radius];
        const int next = v.plane_rows * v.size;
        sum.r += w * from[0], sum.g += w * from[next], sum.b += w * from[2 * next];
      }
      v.write(to + (y * int64_t{v.size} + x) * 3, sum);
    }
}

// The mean of luma where contrast comes in. If whole views fit, leaves what it was taken of in the planes.
__device__ float mean_luma(const View& v, bool keep) {
  float sum = 0;
  for (int y = threadIdx.x / 32; y < v.size; y += blockDim.x / 32)
    v.resample_row(y, [&](int x, Rgb pixel) {
      pixel = v.before_contrast(pixel);
      sum += luma(pixel);
      if (!keep) return;
      const int to = v.mirrored(x);
      v.plane(0, y)[to] = pixel.r, v.plane(1, y)[to] = pixel.g, v.plane(2, y)[to] = pixel.b;
    });
  return static_cast<float>(block_sum(static_cast<double>(sum)) / (static_cast<double>(v.size) * v.size));
}

template <class T>
__device__ void write_view(const View& v, const float* blur, int radius, T* to) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const bool contrast = v.contrast_at < 4, keep = v.plane_rows == v.size;
  const float mean = contrast ? mean_luma(v, keep) : 0;
  const int band = radius == 0 || keep ? v.size : v.plane_rows - 2 * radius;
  for (int first = 0; first < v.size; first += band) {
    const int end = first + band < v.size ? first + band : v.size;
    const int top = first > radius ? first - radius : 0, bottom = end + radius < v.size ? end + radius : v.size;
    for (int y = top + warp; y < bottom; y += warps) {
      auto finish = [&](int x, Rgb pixel) {
        pixel = v.from_contrast_on(pixel, mean);
        if (radius == 0) return v.write(to + (y * int64_t{v.size} + x) * 3, pixel);
        v.plane(0, y - top)[x] = pixel.r, v.plane(1, y - top)[x] = pixel.g, v.plane(2, y - top)[x] = pixel.b;
      };
      if (contrast && keep)
        for (int x = lane; x < v.size; x += 32) finish(x, {v.plane(0, y)[x], v.plane(1, y)[x], v.plane(2, y)[x]});
      else
        v.resample_row(y, [&](int x, Rgb pixel) { finish(v.mirrored(x), v.before_contrast(pixel)); });
    }
    if (radius == 0) continue;
    __syncthreads();
    for (int row = warp; row < 3 * (bottom - top); row += warps) v.blur_row(v.plane(row % 3, row / 3), blur, radius);
    __syncthreads();
    write_blurred(v, blur, radius, top, first, end, to);
    __syncthreads();  // the planes take the next band
  }
}

// Block (image, view).
template <class T>
__global__ void __launch_bounds__(most_threads, 1) augment_kernel(const __grid_constant__ Augment k, Layout l) {
  GESTALT_DYNAMIC_SHARED(float, shared);
  GESTALT_SHARED(AugmentDraw, drawn, [1]);
  const int64_t image = blockIdx.x, view = blockIdx.y;
  const Frame frame = k.frames[image];
  const AugmentParameters& p = k.view[view];
  const int size = static_cast<int>(k.size), strip_floats = 3 * l.strip_pixels, warps = blockDim.x / 32;
  float* strips = shared + 3 * l.plane_rows * size;
  auto* columns = reinterpret_cast<Column*>(strips + warps * strip_floats);
  float* blur = reinterpret_cast<float*>(columns + size);
  if (threadIdx.x == 0)
    drawn[0] = k.draws ? k.draws[view * k.count + image]
                       : draw_augment(p, k.seed, k.step, static_cast<uint32_t>(k.samples[image]),
                                      static_cast<uint32_t>(k.first_view + view), frame.height, frame.width, k.size);
  __syncthreads();
  const AugmentDraw& d = drawn[0];

  const Axis across = axis_of(d.width, d.left, d.clip, frame.width, k.size);
  for (int x = threadIdx.x; x < size; x += blockDim.x) {
    const ResampleWindow w = resample_window(x, across.scale, across.origin, across.begin, across.end);
    const float total = total_weight(w);
    columns[x] = {w.first, w.count, total > 0 ? w.start : 0.0f, total > 0 ? 1 / total : 1.0f};
  }
  const int radius = d.blur_sigma > 0 ? blur_radius(p, d.blur_sigma, k.size) : 0;
  for (int i = threadIdx.x; radius > 0 && i <= 2 * radius; i += blockDim.x) {
    float total = 0;
    for (int j = -radius; j <= radius; ++j) total += blur_weight(j, d.blur_sigma);
    blur[i] = blur_weight(i - radius, d.blur_sigma) / total;
  }
  __syncthreads();

  const int32_t taps = resample_taps(across.scale) + 1;  // one more for the step from a window to the next
  const double fitting = 1 + floor((l.strip_pixels - taps) / across.scale);
  int contrast_at = 4;
  for (int i = 0; i < 4; ++i)
    if (d.order[i] == ColorOp::contrast && d.contrast != 1) contrast_at = i;
  const View v{p,
               d,
               size,
               static_cast<const uint8_t*>(k.pixels.data) + frame.offset,
               int64_t{frame.width} * 3,
               axis_of(d.height, d.top, d.clip, frame.height, k.size),
               columns,
               static_cast<float>(1 / (across.scale > 1 ? across.scale : 1)),
               taps > l.strip_pixels ? 0 : static_cast<int>(fitting < size ? fitting : size),
               contrast_at,
               strips + threadIdx.x / 32 * strip_floats,
               shared,
               l.plane_rows};
  write_view(v, blur, radius, static_cast<T*>(k.y.data) + (view * k.count + image) * size * int64_t{size} * 3);
}

// What a launch needs planes for: a blur's rows above and below a pixel, or the pixels that a mean was taken of.
struct Needs {
  int32_t radius = 0;
  bool planes = false;
};
Needs needs_of(const Augment& k) {
  Needs needs;
  for (int64_t v = 0; v < k.views; ++v) {
    const AugmentParameters& p = k.view[v];
    const bool blur = k.draws || (!p.evaluation && p.blur > 0);
    if (blur) needs.radius = std::max(needs.radius, blur_radius(p, std::numeric_limits<float>::max() / 8, k.size));
    needs.planes = needs.planes || blur || (!p.evaluation && p.jitter > 0);
  }
  return needs;
}

// Whole views in shared memory if they fit. Bands of them, if not, for a blur; nothing, if not even that is needed.
Layout layout_of(const Augment& k, const Needs& needs, int32_t threads, size_t budget) {
  Layout l{threads, 0, 0, 2 * needs.radius + 1};
  l.strip_pixels = static_cast<int32_t>(std::max<int64_t>(k.size + 32, 64));
  if (!needs.planes) l.strip_pixels = std::min(l.strip_pixels, 256);
  const size_t rest = l.bytes(k.size), row = 12 * static_cast<size_t>(k.size);
  const auto room = static_cast<int64_t>(rest < budget ? (budget - rest) / row : 0);
  if (needs.planes && room >= k.size) l.plane_rows = static_cast<int32_t>(k.size);
  if (needs.planes && room < k.size && needs.radius > 0) l.plane_rows = static_cast<int32_t>(room);
  return l;
}

// A warp has a strip of its own: where memory is short, fewer warps leave more of it to the bands, whose rows are
// resampled again for each band that they are near to.
Layout layout_of(const Augment& k) {
  const Needs needs = needs_of(k);
  const size_t budget = most_shared_bytes() - declared_bytes;
  for (int32_t threads = k.size <= 64 ? 256 : most_threads; threads >= 64; threads /= 2) {
    const Layout l = layout_of(k, needs, threads, budget);
    const bool enough = needs.radius == 0 || l.plane_rows == k.size || l.plane_rows > 3 * needs.radius;
    const bool last = threads == 64 && (needs.radius == 0 || l.plane_rows > 2 * needs.radius);
    if (l.bytes(k.size) <= budget && (enough || last)) return l;
  }
  fail(
      "[augment] got blurred views of {} pixels, which a block's shared memory on cuda cannot hold; use --device cpu "
      "or a smaller blur",
      k.size);
}

}  // namespace

void run(const Augment& k, Stream stream) {
  check(k.views >= 0 && k.views <= max_augment_views, "[augment] got {} views in a launch, expected at most {}",
        k.views, max_augment_views);
  check(k.size > 0, "[augment] got views of {} pixels, expected at least 1", k.size);
  check(k.pixels.dtype == DType::u8, "[augment] got pixels of {}, expected u8", name(k.pixels.dtype));
  const Layout l = layout_of(k);
  dispatch_cuda(k.y.dtype, [&](auto tag) {
    launch_kernel(augment_kernel<decltype(tag)>, dim3(k.count, k.views), l.threads, l.bytes(k.size), stream, k, l);
  });
}

}  // namespace gestalt::kernels::cuda
