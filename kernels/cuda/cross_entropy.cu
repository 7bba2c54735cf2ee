// Token cross-entropy on CUDA: a row of logits is read once, into shared memory where it fits, and its gradient
// written.
#include "kernels/cross_entropy.h"

#include <cfloat>

#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/rows.cuh"

namespace gestalt::kernels::cuda {
namespace {

// How a row of T lies in packs at addresses that are multiples of 16: rows of an odd length begin anywhere, and the
// elements before and behind the packs are taken one by one. Each thread meets the same elements in every walk.
template <class S, class T>
struct Parts {
  static constexpr int N = 16 / sizeof(T);
  int head, packs, columns;

  __device__ __forceinline__ Parts(const T* row, int columns) : columns(columns) {
    const int past = static_cast<int>(reinterpret_cast<uintptr_t>(row) / sizeof(T) % N);
    head = min(columns, past ? N - past : 0);
    packs = (columns - head) / N;
  }
  template <class E>
  __device__ __forceinline__ void singles(E&& single) const {
    for (int i = S::thread(); i < head; i += S::Width) single(i);
    for (int i = head + packs * N + S::thread(); i < columns; i += S::Width) single(i);
  }
  // Calls pack(first element) for quarter q of the packs.
  template <class P>
  __device__ __forceinline__ void quarter(int q, P&& pack) const {
    const int of_quarter = (packs + 4 * S::Width - 1) / (4 * S::Width) * S::Width;
    const int end = min(packs, (q + 1) * of_quarter);
#pragma unroll 2
    for (int p = q * of_quarter + S::thread(); p < end; p += S::Width) pack(head + p * N);
  }
  template <class P>
  __device__ __forceinline__ void each(P&& pack) const {
#pragma unroll 2
    for (int p = S::thread(); p < packs; p += S::Width) pack(head + p * N);
  }
};

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

constexpr int mean_threads = 1024;

// 1 / the rows that count, 0 if none does.
__global__ void __launch_bounds__(mean_threads)
    share_kernel(const int32_t* target, float* share, int64_t rows, int32_t ignore) {
  int counted = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < rows; i += mean_threads) counted += target[i] != ignore;
  counted = block_sum(counted);
  if (threadIdx.x == 0) share[0] = counted ? static_cast<float>(1 / static_cast<double>(counted)) : 0.0f;
}

// The mean over the rows that count, by one block in a fixed order.
__global__ void __launch_bounds__(mean_threads)
    mean_loss_kernel(const float* row_loss, const float* share, float* loss, int64_t rows) {
  double total = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < rows; i += mean_threads) total += row_loss[i];
  total = block_sum(total);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(total * share[0]);
}

struct Rows {
  const int32_t* target;
  const float* share;
  float* loss;  // of each: 0 where it is ignored, NaN where the target is no class
  int64_t rows;
  int classes;
  int32_t ignore;
  float smoothing, dloss;
};

// Loss and gradient of a row. `Held`: the row's packs are kept in shared memory between the sums and the gradient,
// where element j lies as far behind a multiple of 16 bytes as in global memory; else they are read again.
template <class S, bool Held, class T>
__global__ void __launch_bounds__(S::Threads, 1024 / S::Threads)
    row_kernel(const T* logits, T* dlogits, const __grid_constant__ Rows k) {
  using Packed = Pack<T, 16 / sizeof(T)>;
  constexpr int N = 16 / sizeof(T);
  const int64_t i = int64_t{blockIdx.x} * S::Rows + S::slot();
  if (i >= k.rows) return;
  const T* z = logits + i * k.classes;
  T* dz = dlogits ? dlogits + i * k.classes : nullptr;
  const Parts<S, T> parts(z, k.classes);
  const int32_t t = k.target[i];
  if (t == k.ignore) {
    if (S::thread() == 0) k.loss[i] = 0;
    if (!dz) return;
    parts.each([&](int first) { store_pack(dz + first, Packed{}); });
    parts.singles([&](int j) { dz[j] = T(0.0f); });
    return;
  }
  const T* packs = z;
  if constexpr (Held) {
    GESTALT_DYNAMIC_SHARED(T, held);
    T* to = held + (N - parts.head) % N;
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      parts.quarter(q, [&](int first) { begin_copy<16>(to + first, z + first); });
      commit_copies();
    }
    packs = to;
  }
  const bool valid = t >= 0 && t < k.classes;
  const float aim = valid ? static_cast<float>(z[t]) : 0.0f;
  RunningSum running;
  float total = 0;
  const auto take = [&](int first) {
    const auto pack = load_pack<Packed>(packs + first);
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
  };
  parts.singles([&](int j) {
    const float v = static_cast<float>(z[j]);
    total += v;
    running.raise(v);
    running.add(v);
  });
  if constexpr (Held) {  // a thread reads what it copied itself
    wait_copies<3>(), parts.quarter(0, take);
    wait_copies<2>(), parts.quarter(1, take);
    wait_copies<1>(), parts.quarter(2, take);
    wait_copies<0>(), parts.quarter(3, take);
  } else {
    parts.each(take);
  }
  const float most = S::most(running.most);
  const float shift = most + logf(S::sum(running.sum * __expf(running.most - most)));
  const float floor = k.smoothing / static_cast<float>(k.classes), peak = 1 - k.smoothing;
  total = S::sum(total);
  if (S::thread() == 0) k.loss[i] = valid ? shift - peak * aim - floor * total : NAN;
  if (!dz) return;
  __syncwarp();  // all have read `aim`, which the gradient may overwrite
  const float gain = valid ? k.share[0] * k.dloss : NAN;
  const auto gradient = [&](float v) { return gain * (__expf(v - shift) - floor); };
  const T at_target = static_cast<T>(gain * (__expf(aim - shift) - floor - peak));
  const auto give = [&](int first) {
    auto pack = load_pack<Packed>(packs + first);
#pragma unroll
    for (int j = 0; j < N; ++j) pack.v[j] = static_cast<T>(gradient(static_cast<float>(pack.v[j])));
    store_pack(dz + first, pack);
    if (t >= first && t < first + N) dz[t] = at_target;
  };
  parts.each(give);
  parts.singles([&](int j) { dz[j] = j == t ? at_target : static_cast<T>(gradient(static_cast<float>(z[j]))); });
}

using Narrow = RowShape<1, 0, 32>;
using Wide = RowShape<1, 0, 512>;

template <class S, bool Held, class T>
void launch_rows(const CrossEntropy& k, const Rows& rows, size_t shared_bytes, Stream stream) {
  launch_kernel(row_kernel<S, Held, T>, row_blocks(S(), k.rows), S::Threads, shared_bytes, stream, k.logits.as<T>(),
                k.dlogits.as<T>(), rows);
}

template <class T>
void run_rows(const CrossEntropy& k, const Rows& rows, Stream stream) {
  constexpr size_t declared_bytes = 1024;  // at least what the kernel has of static shared memory
  const size_t held_bytes = divide_up((k.classes + 16 / sizeof(T)) * sizeof(T), 16) * 16;
  if (k.classes <= 1024) return launch_rows<Narrow, false, T>(k, rows, 0, stream);
  if (held_bytes + declared_bytes <= most_shared_bytes())
    return launch_rows<Wide, true, T>(k, rows, held_bytes, stream);
  launch_rows<Wide, false, T>(k, rows, 0, stream);
}

}  // namespace

void run(const CrossEntropy& k, Stream stream) {
  check(k.classes < (int64_t{1} << 30), "[cross_entropy] got {} classes, expected below 2³⁰", k.classes);
  check(!k.dlogits ||
            (reinterpret_cast<uintptr_t>(k.logits.data) - reinterpret_cast<uintptr_t>(k.dlogits.data)) % 16 == 0,
        "[cross_entropy] got logits and dlogits at addresses that differ by no multiple of 16");
  auto* share = static_cast<float*>(stream.scratch);
  const Rows rows{.target = k.target.as<int32_t>(),
                  .share = share,
                  .loss = share + 1,
                  .rows = k.rows,
                  .classes = static_cast<int>(k.classes),
                  .ignore = k.ignore,
                  .smoothing = static_cast<float>(k.smoothing),
                  .dloss = static_cast<float>(k.dloss)};
  launch_kernel(share_kernel, 1, mean_threads, 0, stream, rows.target, share, k.rows, k.ignore);
  dispatch_cuda(k.logits.dtype, [&](auto tag) { run_rows<decltype(tag)>(k, rows, stream); });
  launch_kernel(mean_loss_kernel, 1, mean_threads, 0, stream, rows.loss, share, k.loss.as<float>(), k.rows);
}

}  // namespace gestalt::kernels::cuda
