// Attention on CUDA: tiles of scores in registers, products on the tensor cores; a block owns its rows of the result,
// so that no sum needs an atomic.
#include "kernels/attention.h"

#include <cmath>

#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int warps = 4, threads = 32 * warps;
constexpr int block = 16 * warps;  // rows that a block owns, 16 a warp
constexpr float log2_e = 1.4426950408889634f;

// What a block works on. All lies on the grid's first axis: the second ends at 65,535, which is ViT-L at batch 4,096.
struct Place {
  int first;     // row
  int64_t head;  // of all batch elements

  __device__ explicit Place(const AttentionShape& s) {
    const unsigned tiles = static_cast<unsigned>(s.length + block - 1) / block;
    first = static_cast<int>(blockIdx.x % tiles) * block;
    head = blockIdx.x / tiles;
  }
};

// One head of one batch element. Rows of q, k, v lie `stride` apart, rows of y `y_stride`.
template <class T>
struct Head {
  const T *q, *k, *v;
  int64_t stride, y_offset, y_stride, row_offset;
};

template <class T>
__device__ Head<T> head_of(const T* qkv, const AttentionShape& s) {
  const int64_t head = Place(s).head, b = head / s.heads, h = head % s.heads, width = s.heads * s.dim;
  const T* q = qkv + b * s.length * 3 * width + h * s.dim;
  return {q, q + width, q + 2 * width, 3 * width, b * s.length * width + h * s.dim, width, head * s.length};
}

// A tile of `rows` rows from row `first` on, zeros outside of (length, dim); `fast` where rows are whole 16 bytes.
template <int rows, int D, class T>
__device__ __forceinline__ void load_tile(T* tile, const T* from, int64_t stride, int64_t first,
                                          const AttentionShape& s, bool fast) {
  constexpr int pitch = D + row_padding;
  from += first * stride;
  const int64_t valid = s.length - first;
  if (fast) return begin_tile<T, D, threads>(tile, pitch, from, stride, rows, valid, s.dim);
  for (int i = threadIdx.x; i < rows * D; i += threads) {
    const int row = i / D, column = i % D;
    tile[row * pitch + column] = row < valid && column < s.dim ? from[row * stride + column] : static_cast<T>(0.0f);
  }
}

// d (16, D) += a (16, K) · b (K, D), a in sums of the accumulator's layout, b at rows of a tile.
template <class T, int K, int D>
__device__ __forceinline__ void add_from_sums(float (&d)[D / 8][4], const float (&a)[K / 8][4], const T* rows) {
  using F = Fragments<T>;
  constexpr int pitch = D + row_padding;
#pragma unroll
  for (int k = 0; k < K; k += F::depth) {
    const auto fa = F::from_sums(a + k / 8);
#pragma unroll
    for (int n = 0; n < D / 16; ++n) {
      typename F::B b[2];
      F::load_b_rows(b, rows + k * pitch + 16 * n, pitch);
      F::multiply(d[2 * n], fa, b[0]);
      F::multiply(d[2 * n + 1], fa, b[1]);
    }
  }
}

// Writes the warp's 16 rows from row `first` on; `fast` as in load_tile.
template <class T, int D>
__device__ __forceinline__ void write_rows(const float (&d)[D / 8][4], float low_factor, float high_factor, T* to,
                                           int64_t stride, int first, const AttentionShape& s, bool fast) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + 8 * half + static_cast<int>(threadIdx.x) % 32 / 4;
    if (row >= s.length) continue;
    T* of_row = to + row * stride + 2 * t;
    const float factor = half ? high_factor : low_factor;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      const float pair[2] = {d[n][2 * half] * factor, d[n][2 * half + 1] * factor};
      if (fast && 8 * n + 2 * t < s.dim) Fragments<T>::store_pair(of_row + 8 * n, pair[0], pair[1]);
#pragma unroll
      for (int e = 0; e < 2; ++e)
        if (!fast && 8 * n + 2 * t + e < s.dim) of_row[8 * n + e] = static_cast<T>(pair[e]);
    }
  }
}

// The keys that queries [first, first + block) see end before this one.
__device__ int last_key(const AttentionShape& s, int first) {
  const int length = static_cast<int>(s.length);
  return s.causal && first + block < length ? first + block : length;
}
// The keys that one query sees end before this one.
__device__ __forceinline__ int keys_of(const AttentionShape& s, int query) {
  const int length = static_cast<int>(s.length);
  return s.causal && query < length ? query + 1 : length;
}
// Whether all of these queries see all of these keys, as in most tiles.
__device__ __forceinline__ bool all_see(const AttentionShape& s, int query, int queries, int key, int keys) {
  return key + keys <= s.length && query + queries <= s.length && (!s.causal || key + keys <= query + 1);
}

// Puts `value` at what the warp's 16 queries from `first` on do not see of a tile of scores that begins at key `key`;
// the keys of a thread's two queries end at own_keys, less the column that its scores begin at.
template <int keys>
__device__ __forceinline__ void leave_out(float (&scores)[keys / 8][4], const AttentionShape& s, int first,
                                          const int (&own_keys)[2], int key, float value) {
  if (all_see(s, first, 16, key, keys)) return;
  const int ends[2] = {own_keys[0] - key, own_keys[1] - key};
#pragma unroll
  for (int n = 0; n < keys / 8; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (8 * n + e % 2 >= ends[e / 2]) scores[n][e] = value;
}

template <class T, int D>
struct ForwardTiles {
  static constexpr int keys = D > 64 && sizeof(T) == 4 ? 16 : 64;
  static constexpr size_t bytes = sizeof(T) * (block + 4 * keys) * (D + row_padding);  // keys and values twice
};

template <class T, int D>
__global__ void __launch_bounds__(threads, 2)
    attention_kernel(const T* qkv, T* y, float* lse, AttentionShape s, float scale, bool fast) {
  constexpr int pitch = D + row_padding, keys = ForwardTiles<T, D>::keys, tile = keys * pitch;
  GESTALT_DYNAMIC_SHARED(T, q_tile);
  T* kv_tiles = q_tile + block * pitch;  // stages of keys, then values
  const Head<T> head = head_of(qkv, s);
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int first = Place(s).first, first_of_warp = first + 16 * warp;
  const int end = last_key(s, first);
  auto load = [&](int key) {
    T* to = kv_tiles + key / keys % 2 * 2 * tile;
    load_tile<keys, D>(to, head.k, head.stride, key, s, fast);
    load_tile<keys, D>(to + tile, head.v, head.stride, key, s, fast);
  };
  load_tile<block, D>(q_tile, head.q, head.stride, first, s, fast);
  load(0);
  commit_copies();

  const float exponent = scale * log2_e;  // of 2, a unit of score
  const int own_keys[2] = {keys_of(s, first_of_warp + g) - 2 * t, keys_of(s, first_of_warp + 8 + g) - 2 * t};
  float out[D / 8][4] = {}, most[2] = {-1e30f, -1e30f}, sum[2] = {};
  for (int key = 0; key < end; key += keys) {
    if (key + keys < end) load(key + keys);
    commit_copies();
    wait_copies<1>();
    __syncthreads();
    const T* k_tile = kv_tiles + key / keys % 2 * 2 * tile;
    float p[keys / 8][4] = {};
    add_product<T, keys / 16, D>(p, q_tile + 16 * warp * pitch, k_tile, pitch);

    // Exponentials against the running maximum; what was summed against the old one shrinks.
    float top[2] = {most[0], most[1]};
    leave_out<keys>(p, s, first_of_warp, own_keys, key, -INFINITY);
#pragma unroll
    for (int n = 0; n < keys / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) top[e / 2] = fmaxf(top[e / 2], p[n][e]);
    float shrink[2], base[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      top[half] = fmaxf(top[half], __shfl_xor_sync(full_warp, top[half], 1));
      top[half] = fmaxf(top[half], __shfl_xor_sync(full_warp, top[half], 2));
      shrink[half] = exp2_fast((most[half] - top[half]) * exponent);
      most[half] = top[half];
      base[half] = top[half] * exponent;
      sum[half] *= shrink[half];
    }
#pragma unroll
    for (int n = 0; n < keys / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        p[n][e] = exp2_fast(fmaf(p[n][e], exponent, -base[e / 2]));
        sum[e / 2] += p[n][e];
      }
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) out[n][e] *= shrink[e / 2];
    add_from_sums<T, keys, D>(out, p, k_tile + tile);
    __syncthreads();  // the stage is free again
  }
  wait_copies<0>();

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    sum[half] += __shfl_xor_sync(full_warp, sum[half], 1);
    sum[half] += __shfl_xor_sync(full_warp, sum[half], 2);
    const int row = first_of_warp + 8 * half + g;
    if (t == 0 && row < s.length) lse[head.row_offset + row] = most[half] * scale + logf(sum[half]);
  }
  write_rows<T, D>(out, 1 / sum[0], 1 / sum[1], y + head.y_offset, head.y_stride, first_of_warp, s, fast);
}

template <class T>
struct BackwardPointers {
  const T *qkv, *y, *dy;
  const float* lse;
  float* along;  // Σ dy·y of each row
  T* dqkv;
};

// A warp a row: along = Σ dy·y.
template <class T>
__global__ void __launch_bounds__(threads) along_kernel(BackwardPointers<T> p, AttentionShape s) {
  const int64_t row = blockIdx.x * int64_t{warps} + threadIdx.x / 32;  // of (batch, length, heads)
  if (row >= s.batch * s.length * s.heads) return;
  float sum = 0;
  for (int64_t d = threadIdx.x % 32; d < s.dim; d += 32)
    sum += static_cast<float>(p.y[row * s.dim + d]) * static_cast<float>(p.dy[row * s.dim + d]);
  sum = warp_sum(sum);
  const int64_t h = row % s.heads, i = row / s.heads % s.length, b = row / s.heads / s.length;
  if (threadIdx.x % 32 == 0) p.along[(b * s.heads + h) * s.length + i] = sum;
}

template <class T, int D>
struct BackwardTiles {
  static constexpr int others = D > 64 && sizeof(T) == 4 ? 16 : 32;  // rows that a block walks over, at a time
  static constexpr int stages = D <= 64 && sizeof(T) == 2 ? 2 : 1;   // of them in memory at once
  static constexpr size_t bytes = sizeof(T) * 2 * (block + stages * others) * (D + row_padding);
};

// Calls f(row, stage) for the rows [begin, end), `count` at a time, when load(row, stage) has brought them and, where
// there are two stages, while it brings the next.
template <int stages, int count, class Load, class F>
__device__ __forceinline__ void walk(int begin, int end, Load&& load, F&& f) {
  if (stages > 1 && begin < end) load(begin, 0);
  commit_copies();
  for (int row = begin, stage = 0; row < end; row += count, stage = (stage + 1) % stages) {
    if (stages == 1) load(row, 0);
    if (stages > 1 && row + count < end) load(row + count, 1 - stage);
    commit_copies();
    wait_copies<stages - 1>();
    __syncthreads();
    f(row, stage);
    __syncthreads();  // the stage is free again
  }
  wait_copies<0>();
}

// The gradient of the queries: a block owns queries and walks over the keys.
template <class T, int D>
__global__ void __launch_bounds__(threads, 2)
    query_gradient_kernel(BackwardPointers<T> p, AttentionShape s, float scale, bool fast) {
  constexpr int pitch = D + row_padding, keys = BackwardTiles<T, D>::others;
  GESTALT_DYNAMIC_SHARED(T, q_tile);
  T *dy_tile = q_tile + block * pitch, *tiles = dy_tile + block * pitch;  // stages of keys, then values
  const Head<T> head = head_of(p.qkv, s);
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int first = Place(s).first, first_of_warp = first + 16 * warp;
  load_tile<block, D>(q_tile, head.q, head.stride, first, s, fast);
  load_tile<block, D>(dy_tile, p.dy + head.y_offset, head.y_stride, first, s, fast);
  float lse[2], along[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_of_warp + 8 * half + g;
    lse[half] = row < s.length ? p.lse[head.row_offset + row] * log2_e : 0.0f;
    along[half] = row < s.length ? p.along[head.row_offset + row] : 0.0f;
  }
  const float exponent = scale * log2_e;
  const int own_keys[2] = {keys_of(s, first_of_warp + g) - 2 * t, keys_of(s, first_of_warp + 8 + g) - 2 * t};
  float dq[D / 8][4] = {};
  auto load = [&](int key, int stage) {
    T* to = tiles + stage * 2 * keys * pitch;
    load_tile<keys, D>(to, head.k, head.stride, key, s, fast);
    load_tile<keys, D>(to + keys * pitch, head.v, head.stride, key, s, fast);
  };
  walk<BackwardTiles<T, D>::stages, keys>(0, last_key(s, first), load, [&](int key, int stage) {
    const T *k_tile = tiles + stage * 2 * keys * pitch, *v_tile = k_tile + keys * pitch;
    float score[keys / 8][4] = {}, grad[keys / 8][4] = {};
    add_product<T, keys / 16, D>(score, q_tile + 16 * warp * pitch, k_tile, pitch);
    add_product<T, keys / 16, D>(grad, dy_tile + 16 * warp * pitch, v_tile, pitch);
#pragma unroll
    for (int n = 0; n < keys / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float probability = exp2_fast(fmaf(score[n][e], exponent, -lse[e / 2]));
        grad[n][e] = probability * (grad[n][e] - along[e / 2]);
      }
    leave_out<keys>(grad, s, first_of_warp, own_keys, key, 0);
    add_from_sums<T, keys, D>(dq, grad, k_tile);
  });
  write_rows<T, D>(dq, scale, scale, p.dqkv + (head.q - p.qkv), head.stride, first_of_warp, s, fast);
}

// The gradients of keys and values: a block owns keys and walks over the queries, with scores transposed.
template <class T, int D>
__global__ void __launch_bounds__(threads, 2)
    key_gradient_kernel(BackwardPointers<T> p, AttentionShape s, float scale, bool fast) {
  constexpr int pitch = D + row_padding, queries = BackwardTiles<T, D>::others / (D > 64 && sizeof(T) == 2 ? 2 : 1);
  GESTALT_DYNAMIC_SHARED(T, k_tile);
  T *v_tile = k_tile + block * pitch, *tiles = v_tile + block * pitch;  // stages of queries, then dy
  const Head<T> head = head_of(p.qkv, s);
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int first = Place(s).first, first_of_warp = first + 16 * warp;
  load_tile<block, D>(k_tile, head.k, head.stride, first, s, fast);
  load_tile<block, D>(v_tile, head.v, head.stride, first, s, fast);
  const float *lse = p.lse + head.row_offset, *along = p.along + head.row_offset;
  const float exponent = scale * log2_e;
  float dk[D / 8][4] = {}, dv[D / 8][4] = {};
  auto load = [&](int query, int stage) {
    T* to = tiles + stage * 2 * queries * pitch;
    load_tile<queries, D>(to, head.q, head.stride, query, s, fast);
    load_tile<queries, D>(to + queries * pitch, p.dy + head.y_offset, head.y_stride, query, s, fast);
  };
  // Under a causal mask the first query that sees any of these keys is their own first one.
  const int begin = s.causal ? first : 0, end = static_cast<int>(s.length);
  walk<BackwardTiles<T, D>::stages, queries>(begin, end, load, [&](int query, int stage) {
    const T *q_tile = tiles + stage * 2 * queries * pitch, *dy_tile = q_tile + queries * pitch;
    float score[queries / 8][4] = {}, grad[queries / 8][4] = {};
    add_product<T, queries / 16, D>(score, k_tile + 16 * warp * pitch, q_tile, pitch);
    add_product<T, queries / 16, D>(grad, v_tile + 16 * warp * pitch, dy_tile, pitch);
#pragma unroll
    for (int n = 0; n < queries / 8; ++n)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int row = query + 8 * n + 2 * t + j, at = row < s.length ? row : 0;
        const float lse_of_row = lse[at] * log2_e, along_of_row = along[at];
#pragma unroll
        for (int e = j; e < 4; e += 2) {
          score[n][e] = exp2_fast(fmaf(score[n][e], exponent, -lse_of_row));
          grad[n][e] = score[n][e] * (grad[n][e] - along_of_row);
        }
      }
    if (!all_see(s, query, queries, first_of_warp, 16)) {
      const int end = static_cast<int>(s.length) - query - 2 * t;
      const int least = s.causal ? first_of_warp + g - query - 2 * t : 0;  // of the lower half
#pragma unroll
      for (int n = 0; n < queries / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (8 * n + e % 2 >= end || 8 * n + e % 2 < least + (s.causal ? e / 2 * 8 : 0)) score[n][e] = grad[n][e] = 0;
    }
    add_from_sums<T, queries, D>(dv, score, dy_tile);
    add_from_sums<T, queries, D>(dk, grad, q_tile);
  });
  T* to = p.dqkv + (head.k - p.qkv);
  write_rows<T, D>(dk, scale, scale, to, head.stride, first_of_warp, s, fast);
  write_rows<T, D>(dv, 1, 1, to + (head.v - head.k), head.stride, first_of_warp, s, fast);
}

// Copies the keys and values of the new positions to their place in the cache.
template <class T>
__global__ void __launch_bounds__(threads) append_kernel(CachedAttention k, const T* qkv, T* cache) {
  const AttentionShape& s = k.shape;
  const int64_t width = 2 * s.heads * s.dim;
  grid_stride(s.batch * s.length * width, [&](int64_t at) {
    const int64_t row = at / width, column = at % width, b = row / s.length, i = row % s.length;
    cache[(b * k.capacity + k.first + i) * width + column] = qkv[row * (width / 2 * 3) + width / 2 + column];
  });
}

// Block (new position, head): each warp takes every fourth key, lanes lie along the head; then the warps' parts join.
template <class T>
__global__ void __launch_bounds__(threads)
    cached_attention_kernel(CachedAttention k, const T* qkv, const T* cache, T* y, float scale) {
  constexpr int most = 128, parts = most / 32;
  GESTALT_SHARED(float, of_warp, [warps][most + 2]);
  const AttentionShape& s = k.shape;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t row = blockIdx.x, h = blockIdx.y, b = row / s.length, width = s.heads * s.dim;
  const T* query = qkv + row * 3 * width + h * s.dim;
  const T* keys = cache + b * k.capacity * 2 * width + h * s.dim;
  float q[parts], out[parts] = {}, top = -3e38f, sum = 0;
#pragma unroll
  for (int n = 0; n < parts; ++n) q[n] = lane + 32 * n < s.dim ? static_cast<float>(query[lane + 32 * n]) * scale : 0;
  for (int64_t j = warp; j <= k.first + row % s.length; j += warps) {
    const T *key = keys + j * 2 * width, *value = key + width;
    float score = 0;
#pragma unroll
    for (int n = 0; n < parts; ++n)
      if (lane + 32 * n < s.dim) score += q[n] * static_cast<float>(key[lane + 32 * n]);
    score = warp_sum(score);
    const float higher = fmaxf(top, score);
    const float shrink = exp2_fast((top - higher) * log2_e), p = exp2_fast((score - higher) * log2_e);
    top = higher, sum = sum * shrink + p;
#pragma unroll
    for (int n = 0; n < parts; ++n)
      if (lane + 32 * n < s.dim) out[n] = out[n] * shrink + p * static_cast<float>(value[lane + 32 * n]);
  }
#pragma unroll
  for (int n = 0; n < parts; ++n) of_warp[warp][lane + 32 * n] = out[n];
  if (lane == 0) of_warp[warp][most] = top, of_warp[warp][most + 1] = sum;
  __syncthreads();
  top = of_warp[0][most];  // the first warp has the first key
  for (int w = 1; w < warps; ++w) top = fmaxf(top, of_warp[w][most]);
  for (int d = threadIdx.x; d < s.dim; d += threads) {
    float total = 0, weight = 0;
    for (int w = 0; w < warps; ++w) {
      const float shrink = exp2_fast((of_warp[w][most] - top) * log2_e);
      total += shrink * of_warp[w][d];
      weight += shrink * of_warp[w][most + 1];
    }
    y[row * width + h * s.dim + d] = static_cast<T>(total / weight);
  }
}

// Calls f(number) with the padded size of a head, as a type.
template <class F>
void dispatch_dim(int64_t dim, F&& f) {
  check(dim <= 128, "[attention] got heads of {}, expected at most 128 on cuda; use --device cpu", dim);
  if (dim <= 32) return f(std::integral_constant<int, 32>{});
  if (dim <= 64) return f(std::integral_constant<int, 64>{});
  f(std::integral_constant<int, 128>{});
}

dim3 grid_of(const AttentionShape& s) { return dim3(divide_up(s.length, block) * s.batch * s.heads); }

}  // namespace

void run(const Attention& k, Stream stream) {
  const AttentionShape& s = k.shape;
  const float scale = 1 / std::sqrt(static_cast<float>(s.dim));
  dispatch_cuda(k.qkv.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* qkv = k.qkv.as<T>();
    const bool fast = s.dim * sizeof(T) % 16 == 0 && aligned16(qkv);
    dispatch_dim(s.dim, [&](auto number) {
      constexpr int D = decltype(number)::value;
      launch_kernel(attention_kernel<T, D>, grid_of(s), threads, ForwardTiles<T, D>::bytes, stream, qkv, k.y.as<T>(),
                    k.lse.as<float>(), s, scale, fast);
    });
  });
}

void run(const AttentionBackward& k, Stream stream) {
  const AttentionShape& s = k.shape;
  const float scale = 1 / std::sqrt(static_cast<float>(s.dim));
  dispatch_cuda(k.qkv.dtype, [&](auto tag) {
    using T = decltype(tag);
    const BackwardPointers<T> p{
        k.qkv.as<T>(), k.y.as<T>(), k.dy.as<T>(), k.lse.as<float>(), static_cast<float*>(stream.scratch),
        k.dqkv.as<T>()};
    const bool fast = s.dim * sizeof(T) % 16 == 0 && aligned16(p.qkv, p.dy);
    launch_kernel(along_kernel<T>, divide_up(s.batch * s.length * s.heads, warps), threads, 0, stream, p, s);
    dispatch_dim(s.dim, [&](auto number) {
      constexpr int D = decltype(number)::value;
      constexpr size_t bytes = BackwardTiles<T, D>::bytes;
      launch_kernel(query_gradient_kernel<T, D>, grid_of(s), threads, bytes, stream, p, s, scale, fast);
      launch_kernel(key_gradient_kernel<T, D>, grid_of(s), threads, bytes, stream, p, s, scale, fast);
    });
  });
}

void run(const CachedAttention& k, Stream stream) {
  const AttentionShape& s = k.shape;
  check(s.dim <= 128, "[cached_attention] got heads of {}, expected at most 128 on cuda; use --device cpu", s.dim);
  const float scale = 1 / std::sqrt(static_cast<float>(s.dim));
  dispatch_cuda(k.qkv.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* qkv = k.qkv.as<T>();
    T* cache = k.cache.as<T>();
    launch_kernel(append_kernel<T>, blocks_for(2 * s.batch * s.length * s.heads * s.dim, threads), threads, 0, stream,
                  k, qkv, cache);
    launch_kernel(cached_attention_kernel<T>, dim3(s.batch * s.length, s.heads), threads, 0, stream, k, qkv, cache,
                  k.y.as<T>(), scale);
  });
}

}  // namespace gestalt::kernels::cuda
