// Token cross-entropy on CUDA: the loss from one pass over the logits, the gradient in place of them.
#include "kernels/cross_entropy.h"

#include <cfloat>

#include "kernels/cuda/rows.cuh"

namespace gestalt::kernels::cuda {
namespace {

// Calls pack(start of N elements) and single(element) so that together they cover a row once, packs at addresses that
// are multiples of 16: rows of an odd length begin anywhere.
template <class S, class T, class P, class E>
__device__ __forceinline__ void each_aligned(const T* row, int columns, P&& pack, E&& single) {
  constexpr int N = 16 / sizeof(T);
  const int past = static_cast<int>(reinterpret_cast<uintptr_t>(row) / sizeof(T) % N);
  const int head = min(columns, past ? N - past : 0), packs = (columns - head) / N;
  for (int i = S::thread(); i < head; i += S::Width) single(i);
#pragma unroll 4
  for (int p = S::thread(); p < packs; p += S::Width) pack(head + p * N);
  for (int i = head + packs * N + S::thread(); i < columns; i += S::Width) single(i);
}

// Σ e^(z − most) of the elements seen so far; most starts so low that nothing is lost, yet finite.
struct RunningSum {
  float most = -FLT_MAX, sum = 0;

  __device__ __forceinline__ void raise(float top) {
    if (top <= most) return;
    sum *= __expf(most - top);
    most = top;
  }
  __device__ __forceinline__ void add(float z) { sum += __expf(z - most); }
};

// Loss and log-sum-exp of each row: 0 where it is ignored, NaN where the target is no class.
template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    row_loss_kernel(const T* logits, const int32_t* target, float* row_loss, float* lse, int64_t rows, int classes,
                    int32_t ignore, float smoothing) {
  constexpr int N = 16 / sizeof(T);
  const int64_t i = int64_t{blockIdx.x} * S::Rows + S::slot();
  if (i >= rows) return;
  const int32_t t = target[i];
  if (t == ignore) {
    if (S::thread() == 0) row_loss[i] = lse[i] = 0;
    return;
  }
  const T* z = logits + i * classes;
  RunningSum running;
  float total = 0;
  each_aligned<S>(
      z, classes,
      [&](int first) {
        const auto pack = load_pack<Pack<T, N>>(z + first);
        float v[N], top = static_cast<float>(pack.v[0]);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          v[j] = static_cast<float>(pack.v[j]);
          top = fmaxf(top, v[j]);
          total += v[j];
        }
        running.raise(top);
#pragma unroll
        for (int j = 0; j < N; ++j) running.add(v[j]);
      },
      [&](int j) {
        const float v = static_cast<float>(z[j]);
        total += v;
        running.raise(v);
        running.add(v);
      });
  const float most = S::most(running.most);
  const float shift = most + logf(S::sum(running.sum * __expf(running.most - most)));
  total = S::sum(total);
  if (S::thread() != 0) return;
  lse[i] = shift;
  row_loss[i] = t >= 0 && t < classes ? shift - (1 - smoothing) * static_cast<float>(z[t]) -
                                            smoothing / static_cast<float>(classes) * total
                                      : NAN;
}

constexpr int mean_threads = 1024;

// The mean over the rows that count, by one block in a fixed order.
__global__ void __launch_bounds__(mean_threads)
    mean_loss_kernel(const float* row_loss, const int32_t* target, float* loss, float* share, int64_t rows,
                     int32_t ignore) {
  double total = 0;
  int counted = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < rows; i += mean_threads) {
    total += row_loss[i];
    counted += target[i] != ignore;
  }
  total = block_sum(total);
  counted = block_sum(counted);
  if (threadIdx.x != 0) return;
  const double part = counted ? 1 / static_cast<double>(counted) : 0;
  loss[0] = static_cast<float>(total * part);
  share[0] = static_cast<float>(part);
}

template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    gradient_kernel(const T* logits, const int32_t* target, const float* lse, const float* share, const float* dloss,
                    T* dlogits, int64_t rows, int classes, int32_t ignore, float smoothing) {
  constexpr int N = 16 / sizeof(T);
  const int64_t i = int64_t{blockIdx.x} * S::Rows + S::slot();
  if (i >= rows) return;
  const int32_t t = target[i];
  const bool counts = t != ignore;
  const float gain = t >= 0 && t < classes ? dloss[0] * share[0] : NAN, shift = lse[i];
  const float floor = smoothing / static_cast<float>(classes), peak = 1 - smoothing;
  const T* z = logits + i * classes;
  T* dz = dlogits + i * classes;
  auto gradient = [&](float v, int j) {
    return counts ? gain * (__expf(v - shift) - floor - (j == t ? peak : 0.0f)) : 0.0f;
  };
  each_aligned<S>(
      z, classes,
      [&](int first) {
        auto pack = load_pack<Pack<T, N>>(z + first);
#pragma unroll
        for (int j = 0; j < N; ++j) pack.v[j] = static_cast<T>(gradient(static_cast<float>(pack.v[j]), first + j));
        store_pack(dz + first, pack);
      },
      [&](int j) { dz[j] = static_cast<T>(gradient(static_cast<float>(z[j]), j)); });
}

// Calls f(RowShape) with a warp or a block a row.
template <class F>
void dispatch_width(int64_t classes, F&& f) {
  check(classes < (int64_t{1} << 30), "[cross_entropy] got {} classes, expected below 2³⁰", classes);
  if (classes <= 1024) return f(RowShape<1, 0, 32>());
  return f(RowShape<1, 0, row_threads>());
}

}  // namespace

void run(const CrossEntropy& k, Stream stream) {
  float *row_loss = static_cast<float*>(stream.scratch), *lse = k.lse.as<float>();
  const int32_t* target = k.target.as<int32_t>();
  dispatch_cuda(k.logits.dtype, [&](auto tag) {
    using T = decltype(tag);
    dispatch_width(k.classes, [&](auto shape) {
      launch_kernel(row_loss_kernel<decltype(shape), T>, row_blocks(shape, k.rows), row_threads, 0, stream,
                    k.logits.as<T>(), target, row_loss, lse, k.rows, k.classes, k.ignore, k.smoothing);
    });
  });
  launch_kernel(mean_loss_kernel, 1, mean_threads, 0, stream, row_loss, target, k.loss.as<float>(), k.share.as<float>(),
                k.rows, k.ignore);
}

void run(const CrossEntropyBackward& k, Stream stream) {
  check((reinterpret_cast<uintptr_t>(k.logits.data) - reinterpret_cast<uintptr_t>(k.dlogits.data)) % 16 == 0,
        "[cross_entropy] got logits and dlogits at addresses that differ by no multiple of 16");
  dispatch_cuda(k.logits.dtype, [&](auto tag) {
    using T = decltype(tag);
    dispatch_width(k.classes, [&](auto shape) {
      launch_kernel(gradient_kernel<decltype(shape), T>, row_blocks(shape, k.rows), row_threads, 0, stream,
                    k.logits.as<T>(), k.target.as<int32_t>(), k.lse.as<float>(), k.share.as<float>(),
                    k.dloss.as<float>(), k.dlogits.as<T>(), k.rows, k.classes, k.ignore, k.smoothing);
    });
  });
}

}  // namespace gestalt::kernels::cuda
