// The masked reconstruction loss on CUDA, one pass: a warp or a block a patch, its target read from the image.
#include "kernels/masked_loss.h"

#include <cmath>

#include "kernels/cuda/divide.cuh"
#include "kernels/cuda/rows.cuh"

namespace gestalt::kernels::cuda {
namespace {

struct Patches {
  PatchGrid grid;
  Divider row;  // the elements of a patch's row of pixels
  int64_t count;
  int size;
  bool normalise;

  explicit Patches(const MaskedPatches& k)
      : grid(k.grid),
        row(k.grid.side * 3),
        count(k.count),
        size(static_cast<int>(k.grid.size())),
        normalise(k.normalise) {}
};

// A patch of an image, normalised if asked for. All threads of the row's warp or block construct it together.
template <class S>
class Target {
 public:
  using Numbers = Pack<float, S::N>;

  __device__ __forceinline__ Target(const Patches& k, const float* images, int64_t image, int32_t patch)
      : k_(k), from_(images + k.grid.row_begin(image, patch, 0)), stride_(static_cast<int>(k.grid.width * 3)) {
    if constexpr (S::Packs > 0) S::each(k.size, [&](int p, int column) { held_[p] = read(column); });
    if (!k.normalise) return;
    const auto size = static_cast<float>(k.size);
    mean_ = S::sum(total([](float v) { return v; })) / size;
    const float mean = mean_;
    const float variance = S::sum(total([mean](float v) { return (v - mean) * (v - mean); })) / (size - 1);
    inverse_ = 1 / sqrtf(variance + static_cast<float>(patch_variance_epsilon));
  }
  __device__ __forceinline__ Numbers at(int p, int column) const {
    Numbers v = pixels(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) v.v[j] = (v.v[j] - mean_) * inverse_;
    return v;
  }

 private:
  __device__ __forceinline__ Numbers read(int column) const {
    auto row = static_cast<uint32_t>(column);
    const uint32_t of_row = k_.row.split(row);
    return load_pack<Numbers>(from_ + row * stride_ + of_row);
  }
  __device__ __forceinline__ Numbers pixels(int p, int column) const {
    if constexpr (S::Packs > 0)
      return held_[p];
    else
      return read(column);
  }
  // The thread's sum of f over the pixels.
  template <class F>
  __device__ __forceinline__ float total(F&& f) const {
    float sum = 0;
    S::each(k_.size, [&](int p, int column) {
      const Numbers v = pixels(p, column);
#pragma unroll
      for (int j = 0; j < S::N; ++j) sum += f(v.v[j]);
    });
    return sum;
  }

  const Patches& k_;
  const float* from_;
  int stride_;
  float mean_ = 0, inverse_ = 1;
  Numbers held_[S::Packs > 0 ? S::Packs : 1];
};

constexpr int mean_threads = 1024;

// One block adds in a fixed order.
__global__ void __launch_bounds__(mean_threads)
    mean_loss_kernel(const float* partial, float* loss, int64_t parts, double share) {
  double total = 0;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < parts; i += mean_threads) total += partial[i];
  total = block_sum(total);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(total * share);
}

// Whether f holds for one of the `count` entries. All lanes of a warp ask together.
template <class F>
__device__ __forceinline__ bool any(const int32_t* masked, int64_t count, F&& f) {
  bool found = false;
  for (int64_t first = threadIdx.x % 32; first - threadIdx.x % 32 < count && !found; first += 128) {
    bool mine = false;
#pragma unroll
    for (int j = 0; j < 128; j += 32) mine = mine || (first + j < count && f(masked[first + j]));
    found = __ballot_sync(full_warp, mine) != 0;
  }
  return found;
}

// Every patch of every image: its squared errors, and where asked for its gradient, zeros where it is not masked. A
// masked patch out of range, which nothing can report from here, makes a loss of NaN.
template <class S, class T>
__global__ void __launch_bounds__(row_threads, S::Packs == 0    ? 4
                                               : S::Width == 32 ? 3
                                                                : 2)
    masked_loss_kernel(const T* predictions, const float* images, const int32_t* masked, T* dpredictions,
                       float* partial, float gain, Patches k) {
  GESTALT_SHARED(float, sums, [S::Rows]);
  const int64_t i = int64_t{blockIdx.x} * S::Rows + S::slot(), patches = k.grid.patches(), image = i / patches;
  const auto patch = static_cast<int32_t>(i % patches);
  const int32_t* of_image = masked + image * k.count;
  T* to = dpredictions ? dpredictions + i * k.size : nullptr;
  float sum = 0;
  if (image < k.grid.batch && any(of_image, k.count, [&](int32_t n) { return n == patch; })) {
    const Row<T, S> prediction(predictions + i * k.size, k.size);
    const Target<S> target(k, images, image, patch);
    S::each(k.size, [&](int p, int column) {
      auto y = prediction.at(p, column);
      const auto wanted = target.at(p, column);
#pragma unroll
      for (int j = 0; j < S::N; ++j) {
        const float error = static_cast<float>(y.v[j]) - wanted.v[j];
        sum += error * error;
        y.v[j] = static_cast<T>(gain * error);
      }
      if (to) store_pack(to + column, y);
    });
    sum = S::sum(sum);
  } else if (image < k.grid.batch && to) {
    S::each(k.size, [&](int, int column) { store_pack(to + column, Pack<T, S::N>{}); });
  }
  if (image < k.grid.batch && patch == 0 && any(of_image, k.count, [&](int32_t n) { return n < 0 || n >= patches; }))
    sum = NAN;
  if (S::thread() == 0) sums[S::slot()] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int r = 1; r < S::Rows; ++r) sum += sums[r];
  partial[blockIdx.x] = sum;
}

double share_of(const MaskedPatches& k) { return 1.0 / static_cast<double>(k.grid.batch * k.count * k.grid.size()); }

// Calls f(RowShape); `aligned`: all addresses are multiples of 16.
template <class F>
void dispatch_patch(const PatchGrid& grid, bool aligned, F&& f) {
  const int64_t size = grid.size();
  const bool wide = aligned && grid.side % 4 == 0 && grid.width % 4 == 0;
  if (wide && size <= 32 * 24) return f(RowShape<4, 6, 32>());
  if (wide && size <= row_threads * 32) return f(RowShape<4, 8, row_threads>());
  if (size <= 1024) return f(RowShape<1, 0, 32>());
  f(RowShape<1, 0, row_threads>());
}

}  // namespace

void run(const MaskedLoss& k, Stream stream) {
  const MaskedPatches& of = k.of;
  auto* partial = static_cast<float*>(stream.scratch);
  unsigned parts = 0;
  dispatch_cuda(of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* predictions = of.predictions.as<T>();
    const float* images = of.images.as<float>();
    T* to = k.dpredictions.as<T>();
    dispatch_patch(of.grid, aligned16(predictions, images, to), [&](auto shape) {
      parts = row_blocks(shape, of.grid.batch * of.grid.patches());
      launch_kernel(masked_loss_kernel<decltype(shape), T>, parts, row_threads, 0, stream, predictions, images,
                    of.masked.as<int32_t>(), to, partial, static_cast<float>(2 * share_of(of) * k.dloss), Patches(of));
    });
  });
  launch_kernel(mean_loss_kernel, 1, mean_threads, 0, stream, partial, k.loss.as<float>(), parts, share_of(of));
}

}  // namespace gestalt::kernels::cuda
