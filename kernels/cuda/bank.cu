// Tables by sample on CUDA.
#include "kernels/bank.h"

#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void __launch_bounds__(threads)
    store_rows_kernel(const T* rows, const int32_t* samples, float* table, int64_t count, int64_t length, int64_t dim) {
  grid_stride(count * dim, [&](int64_t n) {
    const int64_t i = n / dim, sample = samples[i];
    bool stored = sample >= 0 && sample < length;
    for (int64_t later = i + 1; later < count; ++later) stored = stored && samples[later] != sample;
    if (stored) table[sample * dim + n % dim] = static_cast<float>(rows[n]);
  });
}

__global__ void __launch_bounds__(threads) read_numbers_kernel(const int32_t* table, const int32_t* samples, int32_t* y,
                                                               int64_t count, int64_t length, int64_t repeats) {
  grid_stride(count * repeats, [&](int64_t n) {
    const int64_t sample = samples[n % count];
    y[n] = sample >= 0 && sample < length ? table[sample] : -1;
  });
}

}  // namespace

void run(const StoreRows& k, Stream stream) {
  dispatch_cuda(k.rows.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(store_rows_kernel<T>, blocks_for(k.count * k.dim, threads), threads, 0, stream, k.rows.as<T>(),
                  k.samples.as<int32_t>(), k.table.as<float>(), k.count, k.length, k.dim);
  });
}

void run(const ReadNumbers& k, Stream stream) {
  launch_kernel(read_numbers_kernel, blocks_for(k.count * k.repeats, threads), threads, 0, stream,
                k.table.as<int32_t>(), k.samples.as<int32_t>(), k.y.as<int32_t>(), k.count, k.length, k.repeats);
}

}  // namespace gestalt::kernels::cuda
