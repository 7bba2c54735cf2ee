// The masked reconstruction loss on CUDA: a block a masked patch, its target read from the image where it is used.
#include "kernels/masked_loss.h"

#include <cmath>

#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

// The masked patch of this block. All threads construct it together.
class Target {
 public:
  __device__ __forceinline__ Target(const MaskedPatches& k, const float* images, const int32_t* masked)
      : images_(images), grid_(k.grid), row_(static_cast<int>(k.grid.side * 3)) {
    image_ = blockIdx.x / k.count;
    const int32_t n = masked[blockIdx.x];
    valid = n >= 0 && n < k.grid.patches();
    patch_ = valid ? n : 0;
    size = static_cast<int>(k.grid.size());
    if (!k.normalise) return;  // the same way for all threads
    float sum = 0, squares = 0;
    for (int j = threadIdx.x; j < size; j += threads) sum += at(j);
    mean_ = block_sum(sum) / static_cast<float>(size);
    for (int j = threadIdx.x; j < size; j += threads) {
      const float d = pixel(j) - mean_;
      squares += d * d;
    }
    const float variance = block_sum(squares) / static_cast<float>(size - 1);
    inverse_ = 1 / sqrtf(variance + static_cast<float>(patch_variance_epsilon));
  }
  __device__ __forceinline__ float at(int j) const { return (pixel(j) - mean_) * inverse_; }
  // Where the patch begins in (batch, patches, size).
  __device__ __forceinline__ int64_t begin() const { return (image_ * grid_.patches() + patch_) * size; }

  bool valid;
  int size;

 private:
  __device__ __forceinline__ float pixel(int j) const {
    return images_[grid_.row_begin(image_, patch_, j / row_) + j % row_];
  }

  const float* images_;
  PatchGrid grid_;
  int row_;
  int64_t image_, patch_;
  float mean_ = 0, inverse_ = 1;
};

// A masked patch out of range, which nothing can report from here, makes a loss of NaN.
template <class T>
__global__ void __launch_bounds__(threads) patch_loss_kernel(const T* predictions, const float* images,
                                                             const int32_t* masked, float* partial, MaskedPatches k) {
  const Target target(k, images, masked);
  const T* prediction = predictions + target.begin();
  float sum = 0;
  for (int j = threadIdx.x; j < target.size; j += threads) {
    const float d = static_cast<float>(prediction[j]) - target.at(j);
    sum += d * d;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = target.valid ? sum : NAN;
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

template <class T>
__global__ void __launch_bounds__(threads)
    gradient_kernel(const T* predictions, const float* images, const int32_t* masked, const float* dloss,
                    T* dpredictions, float share, MaskedPatches k) {
  const Target target(k, images, masked);
  if (!target.valid) return;
  const float factor = share * dloss[0];
  const int64_t begin = target.begin();
  for (int j = threadIdx.x; j < target.size; j += threads)
    dpredictions[begin + j] = static_cast<T>(factor * (static_cast<float>(predictions[begin + j]) - target.at(j)));
}

double share_of(const MaskedPatches& k) { return 1.0 / static_cast<double>(k.grid.batch * k.count * k.grid.size()); }
unsigned blocks_of(const MaskedPatches& k) { return static_cast<unsigned>(k.grid.batch * k.count); }

}  // namespace

void run(const MaskedLoss& k, Stream stream) {
  const MaskedPatches& of = k.of;
  float* partial = k.partial.as<float>();
  dispatch_cuda(of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(patch_loss_kernel<T>, blocks_of(of), threads, 0, stream, of.predictions.as<T>(),
                  of.images.as<float>(), of.masked.as<int32_t>(), partial, of);
  });
  launch_kernel(mean_loss_kernel, 1, mean_threads, 0, stream, partial, k.loss.as<float>(), of.grid.batch * of.count,
                share_of(of));
}

void run(const MaskedLossBackward& k, Stream stream) {
  const MaskedPatches& of = k.of;
  dispatch_cuda(of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    const size_t bytes = static_cast<size_t>(of.grid.batch * of.grid.patches() * of.grid.size()) * sizeof(T);
    if (bytes > 0)
      GESTALT_CUDA_CHECK(cudaMemsetAsync(k.dpredictions.data, 0, bytes, static_cast<cudaStream_t>(stream.handle)));
    launch_kernel(gradient_kernel<T>, blocks_of(of), threads, 0, stream, of.predictions.as<T>(), of.images.as<float>(),
                  of.masked.as<int32_t>(), k.dloss.as<float>(), k.dpredictions.as<T>(),
                  static_cast<float>(2 * share_of(of)), of);
  });
}

}  // namespace gestalt::kernels::cuda
