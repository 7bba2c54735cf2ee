// Writing into a ring of rows on CUDA; the place is on the device, so that a captured graph goes on round it.
#include "kernels/queue.h"

#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void __launch_bounds__(threads)
    enqueue_kernel(const T* rows, float* ring, const int32_t* place, int64_t count, int64_t length, int64_t dim) {
  const int64_t first = place[0];
  grid_stride(count * dim,
              [&](int64_t n) { ring[(first + n / dim) % length * dim + n % dim] = static_cast<float>(rows[n]); });
}

__global__ void __launch_bounds__(32) move_on_kernel(int32_t* place, int64_t count, int64_t length) {
  if (threadIdx.x != 0) return;
  const int64_t filled = place[1] + count;
  place[0] = static_cast<int32_t>((place[0] + count) % length);
  place[1] = static_cast<int32_t>(filled < length ? filled : length);
}

}  // namespace

void run(const Enqueue& k, Stream stream) {
  dispatch_cuda(k.rows.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(enqueue_kernel<T>, blocks_for(k.count * k.dim, threads), threads, 0, stream, k.rows.as<T>(),
                  k.ring.as<float>(), k.place.as<int32_t>(), k.count, k.length, k.dim);
  });
  launch_kernel(move_on_kernel, 1, 32, 0, stream, k.place.as<int32_t>(), k.count, k.length);
}

}  // namespace gestalt::kernels::cuda
