// BYOL's loss on CUDA: a warp a row.
#include "kernels/cosine.h"

#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;

template <int N, class T>
__global__ void __launch_bounds__(threads)
    cosine_kernel(const T* p, const T* z, float* cosine, float* inv_p, float* inv_z, int64_t rows, int64_t dim) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= rows) return;
  double pp = 0, zz = 0, pz = 0;
  for (int64_t d = lane * N; d < dim; d += 32 * N) {
    const auto a = load_pack<Pack<T, N>>(p + i * dim + d), b = load_pack<Pack<T, N>>(z + i * dim + d);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const double x = static_cast<float>(a.v[j]), y = static_cast<float>(b.v[j]);
      pp += x * x;
      zz += y * y;
      pz += x * y;
    }
  }
  pp = warp_sum(pp), zz = warp_sum(zz), pz = warp_sum(pz);
  if (lane != 0) return;
  const double inverse_p = pp > 1e-24 ? 1 / sqrt(pp) : 0, inverse_z = zz > 1e-24 ? 1 / sqrt(zz) : 0;
  inv_p[i] = static_cast<float>(inverse_p);
  inv_z[i] = static_cast<float>(inverse_z);
  cosine[i] = static_cast<float>(pz * inverse_p * inverse_z);
}

__global__ void __launch_bounds__(threads) cosine_mean_kernel(const float* cosine, float* loss, int64_t rows) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += threads) sum += cosine[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(2 - 2 * sum / static_cast<double>(rows));
}

// d/da of −cosine(a, b), times `factor`.
template <int N, class T>
__device__ __forceinline__ void gradient(const Pack<T, N>& a, const Pack<T, N>& b, float inv_a, float inv_b,
                                         float cosine, float factor, T* da) {
  Pack<T, N> result;
#pragma unroll
  for (int j = 0; j < N; ++j)
    result.v[j] = static_cast<T>(-factor * inv_a *
                                 (static_cast<float>(b.v[j]) * inv_b - cosine * (static_cast<float>(a.v[j]) * inv_a)));
  store_pack(da, result);
}

template <int N, class T>
__global__ void __launch_bounds__(threads)
    cosine_backward_kernel(const T* p, const T* z, const float* cosine, const float* inv_p, const float* inv_z,
                           const float* dy, T* dp, T* dz, int64_t rows, int64_t dim) {
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= rows) return;
  const auto factor = static_cast<float>(2 * dy[0] / static_cast<double>(rows));
  const float c = cosine[i], of_p = inv_p[i], of_z = inv_z[i];
  for (int64_t d = threadIdx.x % 32 * N; d < dim; d += 32 * N) {
    const int64_t at = i * dim + d;
    const auto a = load_pack<Pack<T, N>>(p + at), b = load_pack<Pack<T, N>>(z + at);
    if (dp) gradient(a, b, of_p, of_z, c, factor, dp + at);
    if (dz) gradient(b, a, of_z, of_p, c, factor, dz + at);
  }
}

// Calls f(number) with the elements of an access, as a type: as many as 16 bytes hold where rows begin at multiples.
template <class T, class F, class... Pointers>
void dispatch_width(int64_t dim, F&& f, const Pointers*... pointers) {
  constexpr int N = 16 / sizeof(T);
  if (dim % N == 0 && aligned16(pointers...))
    f(std::integral_constant<int, N>{});
  else
    f(std::integral_constant<int, 1>{});
}

}  // namespace

void run(const CosineLoss& k, Stream stream) {
  float* cosine = k.cosine.as<float>();
  dispatch_cuda(k.p.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T *p = k.p.as<T>(), *z = k.z.as<T>();
    dispatch_width<T>(
        k.dim,
        [&](auto n) {
          launch_kernel(cosine_kernel<decltype(n)::value, T>, divide_up(k.rows, warps), threads, 0, stream, p, z,
                        cosine, k.inv_norm_p.as<float>(), k.inv_norm_z.as<float>(), k.rows, k.dim);
        },
        p, z);
  });
  launch_kernel(cosine_mean_kernel, 1, threads, 0, stream, cosine, k.loss.as<float>(), k.rows);
}

void run(const CosineLossBackward& k, Stream stream) {
  dispatch_cuda(k.p.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T *p = k.p.as<T>(), *z = k.z.as<T>();
    T *dp = k.dp.as<T>(), *dz = k.dz.as<T>();
    dispatch_width<T>(
        k.dim,
        [&](auto n) {
          launch_kernel(cosine_backward_kernel<decltype(n)::value, T>, divide_up(k.rows, warps), threads, 0, stream, p,
                        z, k.cosine.as<float>(), k.inv_norm_p.as<float>(), k.inv_norm_z.as<float>(), k.dy.as<float>(),
                        dp, dz, k.rows, k.dim);
        },
        p, z, dp, dz);
  });
}

}  // namespace gestalt::kernels::cuda
