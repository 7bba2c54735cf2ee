// Attention on the CPU: each (batch element, head) belongs to one thread; tiles of scores live in the first caches.
#include "kernels/attention.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t block = 64;  // queries and keys of a tile of scores

template <class S>
constexpr int64_t lanes = tile_columns<S> / 2;
template <class T>
constexpr int64_t line = 64 / sizeof(T);  // elements of a cache line

int64_t padded(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// One thread's memory for a head: matrices of (length, dim), zero-padded to whole registers. Kept between calls.
template <class S>
class Workspace {
 public:
  explicit Workspace(const AttentionShape& s)
      : length(padded(s.length, std::max<int64_t>(lanes<S>, tile_rows))),
        columns(padded(s.length, lanes<S>)),
        dim(padded(s.dim, tile_columns<S>)),
        size_(length * dim) {
    thread_local std::vector<S> memory;
    memory.resize(static_cast<size_t>(matrices * size_ + 3 * length));
    next_ = memory.data();
  }
  S* matrix() { return take(size_); }
  S* row() { return take(length); }

  const int64_t length, columns, dim;  // `columns`: keys of a row of scores, in whole registers

 private:
  static constexpr int64_t matrices = 9;
  S* take(int64_t count) { return std::exchange(next_, next_ + count); }
  int64_t size_;
  S* next_;
};

// How far after a matrix of head h, whose rows are `stride` apart, that of the next head begins.
int64_t ahead(const AttentionShape& s, int64_t h, int64_t stride) {
  return h + 1 < s.heads ? s.dim : s.length * stride - h * s.dim;
}

// Copies rows of `s.dim` elements, `stride` apart, of head h into a padded matrix, times `factor`; and asks for the
// next head's, since memory would be waited for at each of these short rows.
template <class T, class S>
void load(const T* from, int64_t stride, int64_t h, const AttentionShape& s, const Workspace<S>& w, S factor, S* to) {
  const T* next = from + ahead(s, h, stride);
  for (int64_t i = 0; i < w.length; ++i, to += w.dim) {
    const int64_t filled = i < s.length ? s.dim : 0;
    const T* row = from + i * stride;
    for (int64_t d = 0; d < filled; d += line<T>) __builtin_prefetch(next + i * stride + d);
#pragma omp simd
    for (int64_t d = 0; d < filled; ++d) to[d] = static_cast<S>(row[d]) * factor;
    std::fill(to + filled, to + w.dim, S(0));
  }
}

template <class T, class S>
void unload(const S* from, int64_t stride, const AttentionShape& s, const Workspace<S>& w, S factor, T* to) {
  for (int64_t i = 0; i < s.length; ++i, from += w.dim) {
    T* row = to + i * stride;
#pragma omp simd
    for (int64_t d = 0; d < s.dim; ++d) store(&row[d], from[d] * factor);
  }
}

// How many queries or keys the tile that starts at `first` has.
int64_t tile_extent(const AttentionShape& s, int64_t first) { return std::min(block, s.length - first); }

// How many keys of the tile that starts at `key` query i sees.
int64_t visible(const AttentionShape& s, int64_t i, int64_t key) {
  return std::clamp<int64_t>((s.causal ? std::min(i + 1, s.length) : s.length) - key, 0, block);
}

// One past the last key that the queries [first, first + block) see.
int64_t last_key(const AttentionShape& s, int64_t first) {
  return s.causal ? std::min(s.length, first + block) : s.length;
}

// Turns scores into exponentials against the running maximum, and rescales what was summed against the old one.
template <class S>
void online_softmax(const AttentionShape& s, int64_t query, int64_t key, S* tile, S* most, S* sum, S* out,
                    int64_t dim) {
  const int64_t rows = tile_extent(s, query), keys = tile_extent(s, key), columns = padded(keys, lanes<S>);
  for (int64_t i = 0; i < rows; ++i) {
    S* p = tile + i * block;
    const int64_t n = visible(s, query + i, key);
    std::fill(p + n, p + columns, -std::numeric_limits<S>::max());  // whole registers: what is not seen counts as 0
    const S top = std::max(most[i], reduce(p, columns, [](auto a, auto b) { return a > b ? a : b; }));
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) p[j] = fast_exp(p[j] - top);
    const S part = reduce(p, columns, [](auto a, auto b) { return a + b; });
    std::fill(p + n, p + keys, S(0));
    const S shrink = fast_exp(most[i] - top);
    sum[i] = sum[i] * shrink + part;
    most[i] = top;
    if (key == 0) continue;
#pragma omp simd
    for (int64_t d = 0; d < dim; ++d) out[i * dim + d] *= shrink;
  }
}

template <class T>
void forward_head(const Attention& k, int64_t b, int64_t h) {
  using S = Accumulator<T>;
  const AttentionShape& s = k.shape;
  const int64_t stride = 3 * s.heads * s.dim, head = s.heads * s.dim;
  Workspace<S> w(s);
  S *q = w.matrix(), *key = w.matrix(), *v = w.matrix(), *out = w.matrix(), *panels = w.matrix();
  const T* qkv = k.qkv.as<T>() + b * s.length * stride + h * s.dim;
  load(qkv, stride, h, s, w, S(1) / std::sqrt(static_cast<S>(s.dim)), q);
  load(qkv + head, stride, h, s, w, S(1), key);
  load(qkv + 2 * head, stride, h, s, w, S(1), v);
  make_panels(key, w.dim, w.columns, w.dim, panels);
  std::fill_n(out, w.length * w.dim, S(0));
  alignas(64) S tile[block * block];
  S* lse = k.lse.as<S>() + (b * s.heads + h) * s.length;
  for (int64_t i = 0; i < s.length; i += block) {
    const int64_t rows = tile_extent(s, i), m = padded(rows, tile_rows);
    S most[block], sum[block] = {};
    std::fill_n(most, block, -std::numeric_limits<S>::max());
    for (int64_t j = 0; j < last_key(s, i); j += block) {
      const int64_t keys = tile_extent(s, j), n = padded(keys, lanes<S>);
      tile_product<S, Layout::rows, Layout::panels, false>(q + i * w.dim, w.dim, panels + j * w.dim, 0, m, n, w.dim,
                                                           tile, block);
      online_softmax(s, i, j, tile, most, sum, out + i * w.dim, w.dim);
      tile_product<S, Layout::rows, Layout::rows, true>(tile, block, v + j * w.dim, w.dim, m, w.dim, keys,
                                                        out + i * w.dim, w.dim);
    }
    for (int64_t r = 0; r < rows; ++r) {
      lse[i + r] = most[r] + std::log(sum[r]);
      S* row = out + (i + r) * w.dim;
      for (int64_t d = 0; d < w.dim; ++d) row[d] /= sum[r];
    }
  }
  unload(out, head, s, w, S(1), k.y.as<T>() + b * s.length * head + h * s.dim);
}

// p = exp(score − lse), and in `grad` dy·vᵀ becomes the gradient of the scores, p·(dy·vᵀ − Σ dy·y).
template <class S>
void score_gradients(const AttentionShape& s, int64_t query, int64_t key, const S* lse, const S* along, S* tile,
                     S* grad) {
  const int64_t rows = tile_extent(s, query), columns = padded(tile_extent(s, key), lanes<S>);
  for (int64_t i = 0; i < rows; ++i) {
    S *p = tile + i * block, *g = grad + i * block;
    const int64_t n = visible(s, query + i, key);
    const S shift = lse[query + i], mean = along[query + i];
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) {
      p[j] = fast_exp(p[j] - shift);
      g[j] = p[j] * (g[j] - mean);
    }
    std::fill(p + n, p + columns, S(0));
    std::fill(g + n, g + columns, S(0));
  }
}

template <class T>
void backward_head(const AttentionBackward& k, int64_t b, int64_t h) {
  using S = Accumulator<T>;
  const AttentionShape& s = k.shape;
  const int64_t stride = 3 * s.heads * s.dim, head = s.heads * s.dim;
  Workspace<S> w(s);
  const int64_t n = w.length * w.dim;
  S *q = w.matrix(), *key = w.matrix(), *dy = w.matrix(), *dq = w.matrix(), *dk = w.matrix(), *dv = w.matrix();
  S *key_panels = w.matrix(), *v_panels = w.matrix(), *v = w.matrix(), *along = w.row();
  const T* qkv = k.qkv.as<T>() + b * s.length * stride + h * s.dim;
  const S scale = S(1) / std::sqrt(static_cast<S>(s.dim));
  load(qkv, stride, h, s, w, scale, q);
  load(qkv + head, stride, h, s, w, S(1), key);
  load(qkv + 2 * head, stride, h, s, w, S(1), v);
  const int64_t offset = b * s.length * head + h * s.dim;
  load(k.dy.as<T>() + offset, head, h, s, w, S(1), dy);
  make_panels(key, w.dim, w.columns, w.dim, key_panels);
  make_panels(v, w.dim, w.columns, w.dim, v_panels);
  const T* y = k.y.as<T>() + offset;
  for (int64_t i = 0; i < s.length; ++i) {
    S dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t d = 0; d < s.dim; ++d) dot += static_cast<S>(y[i * head + d]) * dy[i * w.dim + d];
    along[i] = dot;
  }
  for (S* zero : {dq, dk, dv}) std::fill_n(zero, n, S(0));
  alignas(64) S tile[block * block];
  alignas(64) S grad[block * block];
  const S* lse = k.lse.as<S>() + (b * s.heads + h) * s.length;
  for (int64_t i = 0; i < s.length; i += block)
    for (int64_t j = 0; j < last_key(s, i); j += block) {
      const int64_t a = i * w.dim, c = j * w.dim, rows = tile_extent(s, i), keys = tile_extent(s, j);
      const int64_t m = padded(rows, tile_rows), n = padded(keys, lanes<S>), l = padded(keys, tile_rows);
      tile_product<S, Layout::rows, Layout::panels, false>(q + a, w.dim, key_panels + c, 0, m, n, w.dim, tile, block);
      tile_product<S, Layout::rows, Layout::panels, false>(dy + a, w.dim, v_panels + c, 0, m, n, w.dim, grad, block);
      score_gradients(s, i, j, lse, along, tile, grad);
      tile_product<S, Layout::rows, Layout::rows, true>(grad, block, key + c, w.dim, m, w.dim, keys, dq + a, w.dim);
      tile_product<S, Layout::transposed, Layout::rows, true>(grad, block, q + a, w.dim, l, w.dim, rows, dk + c, w.dim);
      tile_product<S, Layout::transposed, Layout::rows, true>(tile, block, dy + a, w.dim, l, w.dim, rows, dv + c,
                                                              w.dim);
    }
  T* dqkv = k.dqkv.as<T>() + b * s.length * stride + h * s.dim;
  unload(dq, stride, s, w, scale, dqkv);
  unload(dk, stride, s, w, S(1), dqkv + head);  // q was scaled already
  unload(dv, stride, s, w, S(1), dqkv + 2 * head);
}

// One query against the keys and values of the first `seen` cache rows.
template <class T>
void attend_cache(const CachedAttention& k, const T* query, const T* keys, int64_t seen, T* y) {
  using S = Accumulator<T>;
  const int64_t dim = k.shape.dim, part = k.shape.heads * dim, stride = 2 * part;
  thread_local std::vector<S> memory;
  memory.resize(static_cast<size_t>(seen + dim));
  S *p = memory.data(), *out = p + seen;
  const S scale = S(1) / std::sqrt(static_cast<S>(dim));
  S most = -std::numeric_limits<S>::max(), sum = 0;
  for (int64_t j = 0; j < seen; ++j) {
    const T* key = keys + j * stride;
    S dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t d = 0; d < dim; ++d) dot += static_cast<S>(query[d]) * static_cast<S>(key[d]);
    p[j] = dot * scale;
    most = std::max(most, p[j]);
  }
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < seen; ++j) sum += p[j] = fast_exp(p[j] - most);
  std::fill_n(out, dim, S(0));
  for (int64_t j = 0; j < seen; ++j) {
    const T* value = keys + j * stride + part;
#pragma omp simd
    for (int64_t d = 0; d < dim; ++d) out[d] += p[j] * static_cast<S>(value[d]);
  }
#pragma omp simd
  for (int64_t d = 0; d < dim; ++d) store(&y[d], out[d] / sum);
}

template <class T>
void cached_attention(const CachedAttention& k) {
  const AttentionShape& s = k.shape;
  const int64_t head = s.heads * s.dim;
  const T* qkv = k.qkv.as<T>();
  T *cache = k.cache.as<T>(), *y = k.y.as<T>();
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t i = 0; i < s.length; ++i)
      std::copy_n(qkv + ((b * s.length + i) * 3 + 1) * head, 2 * head,
                  cache + (b * k.capacity + k.first + i) * 2 * head);
  parallel_ranges(s.batch * s.length * s.heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t row = at / s.heads, h = at % s.heads, b = row / s.length, i = row % s.length;
      attend_cache(k, qkv + row * 3 * head + h * s.dim, cache + b * k.capacity * 2 * head + h * s.dim, k.first + i + 1,
                   y + row * head + h * s.dim);
    }
  });
}

template <class F>
void for_each_head(const AttentionShape& s, F&& f) {
  parallel_ranges(s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i / s.heads, i % s.heads);
  });
}

}  // namespace

void run(const Attention& k, Stream) {
  dispatch_float(k.qkv.dtype, [&](auto tag) {
    for_each_head(k.shape, [&](int64_t b, int64_t h) { forward_head<decltype(tag)>(k, b, h); });
  });
}

void run(const AttentionBackward& k, Stream) {
  dispatch_float(k.qkv.dtype, [&](auto tag) {
    for_each_head(k.shape, [&](int64_t b, int64_t h) { backward_head<decltype(tag)>(k, b, h); });
  });
}

void run(const CachedAttention& k, Stream) {
  dispatch_float(k.qkv.dtype, [&](auto tag) { cached_attention<decltype(tag)>(k); });
}

}  // namespace gestalt::kernels::cpu
