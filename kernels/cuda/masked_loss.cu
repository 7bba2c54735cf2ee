// The masked reconstruction loss on CUDA: a warp or a block a patch, its target read from the image where it is used.
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

// A masked patch out of range, which nothing can report from here, makes a loss of NaN.
template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    patch_loss_kernel(const T* predictions, const float* images, const int32_t* masked, float* partial, Patches k) {
  const int64_t i = int64_t{blockIdx.x} * S::Rows + S::slot(), image = i / k.count;
  if (i >= k.grid.batch * k.count) return;
  const int32_t n = masked[i];
  const bool valid = n >= 0 && n < k.grid.patches();
  const int32_t patch = valid ? n : 0;
  const Target<S> target(k, images, image, patch);
  const T* prediction = predictions + (image * k.grid.patches() + patch) * k.size;
  float sum = 0;
  S::each(k.size, [&](int p, int column) {
    const auto y = load_pack<Pack<T, S::N>>(prediction + column);
    const auto wanted = target.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) {
      const float d = static_cast<float>(y.v[j]) - wanted.v[j];
      sum += d * d;
    }
  });
  sum = S::sum(sum);
  if (S::thread() == 0) partial[i] = valid ? sum : NAN;
}

constexpr int mean_threads = 1024;

// One block adds in a fixed order.
__global__ void __launch_bounds__(mean_threads)
    mean_loss_kernel(const float* partial, float* loss, int64_t patches, double share) {
  double total = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < patches; i += mean_threads) total += partial[i];
  total = block_sum(total);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(total * share);
}

// Whether `patch` is among the `count` entries. All lanes of a warp ask together.
__device__ __forceinline__ bool names(const int32_t* masked, int64_t count, int32_t patch) {
  bool found = false;
  for (int64_t first = 0; first < count && !found; first += 32) {
    const int64_t mine = first + threadIdx.x % 32;
    found = __ballot_sync(full_warp, mine < count && masked[mine] == patch) != 0;
  }
  return found;
}

// Every patch of every image: its gradient, or zeros.
template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    gradient_kernel(const T* predictions, const float* images, const int32_t* masked, const float* dloss,
                    T* dpredictions, float share, Patches k) {
  const int64_t i = int64_t{blockIdx.x} * S::Rows + S::slot(), patches = k.grid.patches(), image = i / patches;
  if (i >= k.grid.batch * patches) return;
  const auto patch = static_cast<int32_t>(i % patches);
  T* to = dpredictions + i * k.size;
  if (!names(masked + image * k.count, k.count, patch)) {
    S::each(k.size, [&](int, int column) { store_pack(to + column, Pack<T, S::N>{}); });
    return;
  }
  const Target<S> target(k, images, image, patch);
  const float factor = share * dloss[0];
  S::each(k.size, [&](int p, int column) {
    auto y = load_pack<Pack<T, S::N>>(predictions + i * k.size + column);
    const auto wanted = target.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) y.v[j] = static_cast<T>(factor * (static_cast<float>(y.v[j]) - wanted.v[j]));
    store_pack(to + column, y);
  });
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
  const int64_t picked = of.grid.batch * of.count;
  auto* partial = static_cast<float*>(stream.scratch);
  dispatch_cuda(of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* predictions = of.predictions.as<T>();
    const float* images = of.images.as<float>();
    dispatch_patch(of.grid, aligned16(predictions, images), [&](auto shape) {
      launch_kernel(patch_loss_kernel<decltype(shape), T>, row_blocks(shape, picked), row_threads, 0, stream,
                    predictions, images, of.masked.as<int32_t>(), partial, Patches(of));
    });
  });
  launch_kernel(mean_loss_kernel, 1, mean_threads, 0, stream, partial, k.loss.as<float>(), picked, share_of(of));
}

void run(const MaskedLossBackward& k, Stream stream) {
  const MaskedPatches& of = k.of;
  dispatch_cuda(of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* predictions = of.predictions.as<T>();
    const float* images = of.images.as<float>();
    T* to = k.dpredictions.as<T>();
    dispatch_patch(of.grid, aligned16(predictions, images, to), [&](auto shape) {
      launch_kernel(gradient_kernel<decltype(shape), T>, row_blocks(shape, of.grid.batch * of.grid.patches()),
                    row_threads, 0, stream, predictions, images, of.masked.as<int32_t>(), k.dloss.as<float>(), to,
                    static_cast<float>(2 * share_of(of)), Patches(of));
    });
  });
}

}  // namespace gestalt::kernels::cuda
