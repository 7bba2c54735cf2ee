// Optimizer steps on CUDA: one pass over the arena; the clip factor and LARS's local rates are read on the device.
#include "kernels/optimizer.h"

#include <cmath>

#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;
constexpr int64_t tile = 4096;  // elements a block takes at a time
constexpr int N = 4;            // floats of a 16-byte access

// Norms are sums in f64 of partial sums over fixed ranges, joined in their order.

// The thread's part of Σ x² over [begin, end): 16 bytes at a time between the unaligned ends.
__device__ double squared_part(const float* x, int64_t begin, int64_t end) {
  const int64_t head = begin + static_cast<int64_t>((16 - reinterpret_cast<uintptr_t>(x + begin) % 16) % 16 / 4);
  const int64_t first = head < end ? head : end, packs = (end - first) / N, last = first + packs * N;
  double sum = 0;
  auto add = [&](float v) { sum += static_cast<double>(v) * v; };
  for (int64_t i = begin + threadIdx.x; i < first; i += threads) add(x[i]);
  for (int64_t i = threadIdx.x; i < packs; i += threads) {
    const auto pack = load_pack<Pack<float, N>>(x + first + i * N);
#pragma unroll
    for (int j = 0; j < N; ++j) add(pack.v[j]);
  }
  for (int64_t i = last + threadIdx.x; i < end; i += threads) add(x[i]);
  return sum;
}

__global__ void __launch_bounds__(threads)
    grad_norm_kernel(const float* grads, double* partial, int64_t count, int64_t chunk) {
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < count ? begin + chunk : count;
  const double sum = block_sum(squared_part(grads, begin, end));
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(threads) join_norm_kernel(const double* partial, double* out, int parts) {
  double sum = 0;
  for (int i = threadIdx.x; i < parts; i += threads) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    out[0] = sum;
    out[1] = std::isfinite(sum) ? 0 : 1;
  }
}

// Block (p, s): part p of segment s.
__global__ void __launch_bounds__(threads)
    segment_norm_kernel(const float* weights, const float* grads, const Segment* segments, double* partial) {
  const Segment s = segments[blockIdx.y];
  const int64_t part = ((s.end - s.begin + gridDim.x - 1) / gridDim.x + N - 1) / N * N;
  const int64_t from = s.begin + blockIdx.x * part, begin = from < s.end ? from : s.end;
  const int64_t end = begin + part < s.end ? begin + part : s.end;
  const double of_weights = weights ? block_sum(squared_part(weights, begin, end)) : 0;
  const double of_grads = block_sum(squared_part(grads, begin, end));
  if (threadIdx.x == 0) {
    double* to = partial + 2 * (blockIdx.y * int64_t{gridDim.x} + blockIdx.x);
    to[0] = of_weights;
    to[1] = of_grads;
  }
}

__global__ void __launch_bounds__(threads)
    join_segments_kernel(const double* partial, double* norms, int64_t count, int parts) {
  const int64_t i = blockIdx.x * int64_t{threads} + threadIdx.x;
  if (i >= 2 * count) return;
  double sum = 0;
  for (int p = 0; p < parts; ++p) sum += partial[2 * (i / 2 * parts + p) + i % 2];
  norms[i] = sum;
}

// What a step multiplies gradients by: those of a segment, or all of them unless each is clipped by itself.
struct Clip {
  const double *squared_norm, *norms;
  float max_norm;
  bool each;

  __device__ float of_all() const {
    return squared_norm && max_norm > 0 && !each ? clip_factor(squared_norm[0], max_norm) : 1.0f;
  }
  __device__ float of(int64_t segment, float of_all) const {
    return each && max_norm > 0 ? clip_factor(norms[2 * segment + 1], max_norm) : of_all;
  }
};

// The first of `count` segments that ends after element i.
__device__ int64_t segment_at(const Segment* segments, int64_t count, int64_t i) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (segments[middle].end <= i)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// Calls f(segment's number, begin, end) for the pieces of all segments that this block works on.
template <class F>
__device__ void for_each_piece(const Segment* segments, int64_t count, F&& f) {
  const int64_t size = segments[count - 1].end;
  for (int64_t at = blockIdx.x * tile; at < size; at += gridDim.x * tile)
    for (int64_t s = segment_at(segments, count, at); s < count && segments[s].begin < at + tile; ++s) {
      const int64_t begin = segments[s].begin, end = segments[s].end;
      f(s, begin > at ? begin : at, end < at + tile ? end : at + tile);
    }
}

// Runs body.template step<N>(i) over [begin, end) by packs where `vectors`, the rest by single elements.
template <class Body>
__device__ __forceinline__ void sweep(int64_t begin, int64_t end, bool vectors, const Body& body) {
  const int64_t packs = vectors && begin % N == 0 ? (end - begin) / N : 0;
  for (int64_t i = threadIdx.x; i < packs; i += threads) body.template step<N>(begin + i * N);
  for (int64_t i = begin + packs * N + threadIdx.x; i < end; i += threads) body.template step<1>(i);
}

template <int n>
__device__ __forceinline__ void store_shadow(BFloat16* shadows, int64_t i, const Pack<float, n>& w) {
  if (!shadows) return;
  Pack<BFloat16, n> shadow;
#pragma unroll
  for (int j = 0; j < n; ++j) shadow.v[j] = BFloat16(w.v[j]);
  store_pack(shadows + i, shadow);
}

struct SgdBody {
  float *weights, *moments;
  BFloat16* shadows;
  const float* grads;
  float clip, decay, local, momentum, rate;

  template <int n>
  __device__ __forceinline__ void step(int64_t i) const {
    auto w = load_pack<Pack<float, n>>(weights + i), m = load_pack<Pack<float, n>>(moments + i);
    const auto g = load_pack<Pack<float, n>>(grads + i);
#pragma unroll
    for (int j = 0; j < n; ++j) {
      m.v[j] = momentum * m.v[j] + local * (clip * g.v[j] + decay * w.v[j]);
      w.v[j] -= rate * m.v[j];
    }
    store_pack(moments + i, m);
    store_pack(weights + i, w);
    store_shadow(shadows, i, w);
  }
};

// Struct members as raw pointers: checked on the host, where an operand of a wrong dtype can still be refused.
struct SgdPointers {
  float *weights, *moments;
  BFloat16* shadows;
  const float* grads;
  Clip clip;
};

__device__ float local_rate(const double* norms, float clip, float decay, float rate, const SgdStep& k) {
  const double of_weights = sqrt(norms[0]), of_grads = clip * sqrt(norms[1]);
  float local = 1;
  if (of_weights > 0 && of_grads > 0)
    local = static_cast<float>(k.trust * of_weights / (of_grads + decay * of_weights + 1e-9));
  if (k.clip_local && rate > 0) local = local / rate < 1 ? local / rate : 1.0f;
  return local;
}

__global__ void __launch_bounds__(threads) sgd_kernel(SgdStep k, SgdPointers p, bool vectors) {
  const float clip_all = p.clip.of_all();
  for_each_piece(k.segments, k.segment_count, [&](int64_t number, int64_t begin, int64_t end) {
    const UpdateNumbers now = k.numbers.now();
    const Segment& s = k.segments[number];
    if (s.frozen(now.step)) return;
    const float clip = p.clip.of(number, clip_all), decay = now.decay * s.decay_scale, rate = now.rate * s.rate_scale;
    const double* norms = p.clip.norms;
    const float local = norms && k.trust > 0 && s.adapt ? local_rate(norms + 2 * number, clip, decay, rate, k) : 1.0f;
    sweep(begin, end, vectors, SgdBody{p.weights, p.moments, p.shadows, p.grads, clip, decay, local, k.momentum, rate});
  });
}

struct AdamwBody {
  float *weights, *first, *second;
  BFloat16* shadows;
  const float* grads;
  float clip, beta1, beta2, epsilon, correct2;
  float keep, move;  // of the segment

  template <int n>
  __device__ __forceinline__ void step(int64_t i) const {
    auto w = load_pack<Pack<float, n>>(weights + i), m = load_pack<Pack<float, n>>(first + i);
    auto v = load_pack<Pack<float, n>>(second + i);
    const auto g = load_pack<Pack<float, n>>(grads + i);
#pragma unroll
    for (int j = 0; j < n; ++j) {
      const float d = clip * g.v[j];
      m.v[j] = beta1 * m.v[j] + (1 - beta1) * d;
      v.v[j] = beta2 * v.v[j] + (1 - beta2) * d * d;
      w.v[j] = w.v[j] * keep - move * m.v[j] / (sqrtf(v.v[j]) * correct2 + epsilon);
    }
    store_pack(first + i, m);
    store_pack(second + i, v);
    store_pack(weights + i, w);
    store_shadow(shadows, i, w);
  }
};

__global__ void __launch_bounds__(threads) adamw_kernel(AdamwBody body, Clip clip, const Segment* segments,
                                                        int64_t count, Varying<UpdateNumbers> numbers, bool vectors) {
  const float clip_all = clip.of_all();
  for_each_piece(segments, count, [&](int64_t number, int64_t begin, int64_t end) {
    const UpdateNumbers now = numbers.now();
    const Segment& s = segments[number];
    if (s.frozen(now.step)) return;
    const BiasCorrection correct = s.first_step == 0
                                       ? BiasCorrection{now.correct1, now.correct2}
                                       : bias_correction(body.beta1, body.beta2, now.step - s.first_step + 1);
    const float rate = now.rate * s.rate_scale;
    body.clip = clip.of(number, clip_all);
    body.keep = 1 - rate * (now.decay * s.decay_scale);
    body.move = rate * correct.first;
    body.correct2 = correct.second;
    sweep(begin, end, vectors, body);
  });
}

struct EmaBody {
  float* teacher;
  BFloat16* shadows;
  const float* student;
  float tau, rest;

  template <int n>
  __device__ __forceinline__ void step(int64_t i) const {
    auto t = load_pack<Pack<float, n>>(teacher + i);
    const auto s = load_pack<Pack<float, n>>(student + i);
#pragma unroll
    for (int j = 0; j < n; ++j) t.v[j] = tau * t.v[j] + rest * s.v[j];
    store_pack(teacher + i, t);
    store_shadow(shadows, i, t);
  }
};

__global__ void __launch_bounds__(threads) ema_kernel(EmaBody body, Varying<double> tau, int64_t count, bool vectors) {
  const double keep = tau.now();
  body.tau = static_cast<float>(keep);
  body.rest = static_cast<float>(1 - keep);
  for (int64_t at = blockIdx.x * tile; at < count; at += gridDim.x * tile)
    sweep(at, at + tile < count ? at + tile : count, vectors, body);
}

}  // namespace

void run(const GradNorm& k, Stream stream) {
  const GradNormSplit split(k.count);
  auto* partial = static_cast<double*>(stream.scratch);
  launch_kernel(grad_norm_kernel, split.parts, threads, 0, stream, k.grads.as<float>(), partial, k.count, split.chunk);
  launch_kernel(join_norm_kernel, 1, threads, 0, stream, partial, k.squared_norm.as<double>(), split.parts);
}

void run(const SegmentNorms& k, Stream stream) {
  if (k.segment_count == 0) return;
  constexpr int64_t most_segments = 65535;  // the height of a grid
  check(k.segment_count <= most_segments, "[segment_norms] got {} segments, expected at most {}", k.segment_count,
        most_segments);
  const auto parts = static_cast<int>(segment_norm_parts(k.segment_count));
  auto* partial = static_cast<double*>(stream.scratch);
  launch_kernel(segment_norm_kernel, dim3(parts, k.segment_count), threads, 0, stream, k.weights.as<float>(),
                k.grads.as<float>(), k.segments, partial);
  launch_kernel(join_segments_kernel, divide_up(2 * k.segment_count, threads), threads, 0, stream, partial,
                k.norms.as<double>(), k.segment_count, parts);
}

void run(const SgdStep& k, Stream stream) {
  if (k.segment_count == 0) return;
  const SgdPointers p{k.weights.as<float>(), k.moments.as<float>(), k.shadows.as<BFloat16>(), k.grads.as<float>(),
                      Clip{k.squared_norm.as<double>(), k.norms.as<double>(), k.max_norm, k.clip_each}};
  const bool vectors = aligned16(p.weights, p.moments, p.shadows, p.grads);
  launch_kernel(sgd_kernel, blocks_for(k.count, tile), threads, 0, stream, k, p, vectors);
}

void run(const AdamwStep& k, Stream stream) {
  if (k.segment_count == 0) return;
  const AdamwBody body{k.weights.as<float>(),
                       k.first.as<float>(),
                       k.second.as<float>(),
                       k.shadows.as<BFloat16>(),
                       k.grads.as<float>(),
                       1,
                       k.beta1,
                       k.beta2,
                       k.epsilon,
                       1,
                       1,
                       0};
  const bool vectors = aligned16(body.weights, body.first, body.second, body.shadows, body.grads);
  const Clip clip{k.squared_norm.as<double>(), k.norms.as<double>(), k.max_norm, k.clip_each};
  launch_kernel(adamw_kernel, blocks_for(k.count, tile), threads, 0, stream, body, clip, k.segments, k.segment_count,
                k.numbers, vectors);
}

void run(const EmaStep& k, Stream stream) {
  const EmaBody body{k.teacher.as<float>(), k.shadows.as<BFloat16>(), k.student.as<float>(), 1, 0};
  const bool vectors = aligned16(body.teacher, body.shadows, body.student);
  launch_kernel(ema_kernel, blocks_for(k.count, tile), threads, 0, stream, body, k.tau, k.count, vectors);
}

}  // namespace gestalt::kernels::cuda
