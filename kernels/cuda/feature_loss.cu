// The loss of prediction in feature space on CUDA: a warp or a block a row, its target normalised where it is used.
#include "kernels/feature_loss.h"

#include <cmath>

#include "kernels/cuda/rows.cuh"

namespace gestalt::kernels::cuda {
namespace {

// The row that a prediction is compared with. All threads of the row's warp or block construct it together.
template <class S, class T>
class Target {
 public:
  __device__ __forceinline__ Target(const T* row, int columns) : row_(row, columns) {
    const auto count = static_cast<float>(columns);
    mean_ = S::sum(total(columns, [](float v) { return v; })) / count;
    const float mean = mean_;
    const float variance = S::sum(total(columns, [mean](float v) { return (v - mean) * (v - mean); })) / count;
    inverse_ = 1 / sqrtf(variance + static_cast<float>(PickedFeatures::epsilon));
  }
  // Prediction minus target.
  __device__ __forceinline__ Pack<float, S::N> difference(const T* prediction, int p, int column) const {
    const auto y = load_pack<Pack<T, S::N>>(prediction + column);
    const auto target = row_.at(p, column);
    Pack<float, S::N> d;
#pragma unroll
    for (int j = 0; j < S::N; ++j)
      d.v[j] = static_cast<float>(y.v[j]) - (static_cast<float>(target.v[j]) - mean_) * inverse_;
    return d;
  }

 private:
  template <class F>
  __device__ __forceinline__ float total(int columns, F&& f) const {
    float sum = 0;
    S::each(columns, [&](int p, int column) {
      const auto pack = row_.at(p, column);
#pragma unroll
      for (int j = 0; j < S::N; ++j) sum += f(static_cast<float>(pack.v[j]));
    });
    return sum;
  }

  const Row<T, S> row_;
  float mean_, inverse_;
};

// Where a prediction's target lies, or null: an index out of range, which nothing can report from here.
template <class T>
__device__ __forceinline__ const T* target_of(const T* features, const int32_t* index, int64_t i, const TokenPick& k) {
  const int32_t n = index[i];
  return n >= 0 && n < k.length ? features + (i / k.picked * k.length + n) * k.columns : nullptr;
}

// An index out of range makes a loss of NaN.
template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    row_loss_kernel(const T* predictions, const T* features, const int32_t* index, float* partial, TokenPick k) {
  const int64_t i = int64_t{blockIdx.x} * S::Rows + S::slot();
  if (i >= k.batch * k.picked) return;
  const auto columns = static_cast<int>(k.columns);
  const T* row = target_of(features, index, i, k);
  const Target<S, T> target(row ? row : features, columns);
  float sum = 0;
  S::each(columns, [&](int p, int column) {
    const auto d = target.difference(predictions + i * columns, p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) {
      const float size = fabsf(d.v[j]);
      sum += size < 1 ? size * size / 2 : size - 0.5f;
    }
  });
  sum = S::sum(sum);
  if (S::thread() == 0) partial[i] = row ? sum : NAN;
}

constexpr int mean_threads = 1024;

// One block adds in a fixed order.
__global__ void __launch_bounds__(mean_threads)
    feature_mean_kernel(const float* partial, float* loss, int64_t rows, double share) {
  double total = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < rows; i += mean_threads) total += partial[i];
  total = block_sum(total);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(total * share);
}

template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    feature_gradient_kernel(const T* predictions, const T* features, const int32_t* index, const float* dloss,
                            T* dpredictions, float share, TokenPick k) {
  const int64_t i = int64_t{blockIdx.x} * S::Rows + S::slot();
  if (i >= k.batch * k.picked) return;
  const auto columns = static_cast<int>(k.columns);
  const T* row = target_of(features, index, i, k);
  const Target<S, T> target(row ? row : features, columns);
  const float factor = share * dloss[0];
  S::each(columns, [&](int p, int column) {
    const auto d = target.difference(predictions + i * columns, p, column);
    Pack<T, S::N> to;
#pragma unroll
    for (int j = 0; j < S::N; ++j) to.v[j] = static_cast<T>(factor * fminf(fmaxf(d.v[j], -1.0f), 1.0f));
    store_pack(dpredictions + i * columns + column, to);
  });
}

}  // namespace

void run(const FeatureLoss& k, Stream stream) {
  const PickedFeatures& of = k.of;
  auto* partial = static_cast<float*>(stream.scratch);
  dispatch_cuda(of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T *predictions = of.predictions.as<T>(), *features = of.features.as<T>();
    dispatch_row<T>(of.pick.columns, aligned16(predictions, features), [&](auto shape) {
      launch_kernel(row_loss_kernel<decltype(shape), T>, row_blocks(shape, of.rows()), row_threads, 0, stream,
                    predictions, features, of.index.as<int32_t>(), partial, of.pick);
    });
  });
  launch_kernel(feature_mean_kernel, 1, mean_threads, 0, stream, partial, k.loss.as<float>(), of.rows(), of.share());
}

void run(const FeatureLossBackward& k, Stream stream) {
  const PickedFeatures& of = k.of;
  dispatch_cuda(of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T *predictions = of.predictions.as<T>(), *features = of.features.as<T>();
    T* to = k.dpredictions.as<T>();
    dispatch_row<T>(of.pick.columns, aligned16(predictions, features, to), [&](auto shape) {
      launch_kernel(feature_gradient_kernel<decltype(shape), T>, row_blocks(shape, of.rows()), row_threads, 0, stream,
                    predictions, features, of.index.as<int32_t>(), k.dloss.as<float>(), to,
                    static_cast<float>(of.share()), of.pick);
    });
  });
}

}  // namespace gestalt::kernels::cuda
