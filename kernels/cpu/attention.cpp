// Attention on the CPU: each (batch element, head) belongs to one thread; tiles of scores live in the first caches.
#include "kernels/attention.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cpu/bf16_product.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t most_block = 80;  // queries and keys of a tile of scores, at most

template <class S>
constexpr int64_t lanes = tile_columns<S> / 2;
template <class T>
constexpr int64_t line = 64 / sizeof(T);  // elements of a cache line

int64_t padded(int64_t n, int64_t to) { return divide_up(n, to) * to; }

// One thread's memory for a head: matrices of (length, dim), zero-padded to whole registers, and tiles of scores
// (block, block), as few and as equal as cover the length. Kept between calls.
class Workspace {
 public:
  Workspace(const AttentionShape& s, int64_t sum_bytes)
      : length(padded(s.length, std::max<int64_t>(vector_bytes / sum_bytes, tile_rows))),
        dim(padded(s.dim, 2 * vector_bytes / sum_bytes)),
        block(padded(divide_up(s.length, divide_up(s.length, most_block)), 16)),
        sum_bytes_(sum_bytes) {
    thread_local std::vector<Line> memory;
    memory.resize(static_cast<size_t>(matrices * lines(length * dim) + tiles * lines(block * block) + lines(length)));
    next_ = memory.data();
  }
  template <class T>
  T* matrix() {
    return static_cast<T*>(take(length * dim));
  }
  template <class T>
  T* tile() {
    return static_cast<T*>(take(block * block));
  }
  template <class T>
  T* row() {
    return static_cast<T*>(take(length));
  }

  const int64_t length, dim, block;

 private:
  struct alignas(64) Line {
    char bytes[64];
  };
  static constexpr int64_t matrices = 14, tiles = 6;
  int64_t lines(int64_t count) const { return divide_up(count * sum_bytes_, sizeof(Line)); }
  void* take(int64_t count) { return std::exchange(next_, next_ + lines(count)); }
  int64_t sum_bytes_;
  Line* next_;
};

// How far after a matrix of head h, whose rows are `stride` apart, that of the next head begins.
int64_t ahead(const AttentionShape& s, int64_t h, int64_t stride) {
  return h + 1 < s.heads ? s.dim : s.length * stride - h * s.dim;
}

// By cache lines where nothing is converted: the rows of a head are too short for calls of memcpy.
template <class T, class E>
void copy_row(const T* from, int64_t count, E* to) {
  int64_t i = 0;
  if constexpr (std::is_same_v<T, E>)
    for (; i + line<T> <= count; i += line<T>) std::memcpy(to + i, from + i, sizeof(T) * line<T>);
#pragma omp simd
  for (int64_t d = i; d < count; ++d) to[d] = static_cast<E>(from[d]);
}

// Copies rows of `s.dim` elements, `stride` apart, of head h into a padded matrix; and asks for the next head's, since
// memory would be waited for at each of these short rows.
template <class T>
const Operand<T>* load(const T* from, int64_t stride, int64_t h, const AttentionShape& s, Workspace& w) {
  const T* next = from + ahead(s, h, stride);
  auto* matrix = w.matrix<Element<T>>();
  for (int64_t i = 0; i < s.length; ++i) {
    const T* row = from + i * stride;
    auto* to = matrix + i * w.dim;
    for (int64_t d = 0; d < s.dim; d += line<T>) __builtin_prefetch(next + i * stride + d);
    copy_row(row, s.dim, to);
    if (s.dim < w.dim) std::fill(to + s.dim, to + w.dim, Element<T>(0));
  }
  std::fill(matrix + s.length * w.dim, matrix + w.length * w.dim, Element<T>(0));
  return reinterpret_cast<const Operand<T>*>(matrix);
}

// Writes such a matrix, times `factor`, to the tensor.
template <class T, class S>
void unload(S* matrix, int64_t stride, int64_t h, const AttentionShape& s, const Workspace& w, S factor, T* to) {
  T* next = to + ahead(s, h, stride);
  for (int64_t i = 0; i < s.length; ++i) {
    S* row = matrix + i * w.dim;
    for (int64_t d = 0; d < s.dim; d += line<T>) __builtin_prefetch(next + i * stride + d, 1);
#pragma omp simd
    for (int64_t d = 0; d < w.dim; ++d) row[d] *= factor;
    store_row(row, s.dim, to + i * stride);
  }
}

// How many queries or keys the tile that starts at `first` has.
int64_t tile_extent(const AttentionShape& s, const Workspace& w, int64_t first) {
  return std::min(w.block, s.length - first);
}

// How many of the `keys` keys from `key` on query i sees.
int64_t visible(const AttentionShape& s, int64_t i, int64_t key, int64_t keys) {
  return s.causal ? std::clamp<int64_t>(i + 1 - key, 0, keys) : keys;
}

// Queries of a tile that products take together, and the keys of it that they see.
struct Strip {
  int64_t first, rows, keys;
};

// Calls f(Strip): on the diagonal for few queries at a time, since the first see much less than the last; else for all.
template <class F>
void for_each_strip(const AttentionShape& s, const Workspace& w, int64_t query, int64_t key, F&& f) {
  constexpr int64_t most = 16;
  const int64_t rows = tile_extent(s, w, query);
  if (!s.causal || query != key) return f(Strip{0, rows, tile_extent(s, w, key)});
  for (int64_t r = 0; r < rows; r += most) f(Strip{r, std::min(most, rows - r), std::min(r + most, rows)});
}

// One past the last key that the tile of queries from `first` on sees.
int64_t last_key(const AttentionShape& s, const Workspace& w, int64_t first) {
  return s.causal ? std::min(s.length, first + w.block) : s.length;
}

// Columns of the panels that hold a tile's keys.
template <class S>
int64_t panel_columns(const AttentionShape& s, const Workspace& w, int64_t key) {
  return padded(tile_extent(s, w, key), lanes<S>);
}

// The transposed matrix, for products along the rows of this one: panels of each tile's rows.
template <class T>
const Operand<T>* transposed(const Operand<T>* x, const AttentionShape& s, Workspace& w) {
  auto* panels = w.matrix<Operand<T>>();
  const int64_t steps = w.dim / depth<T>;
  for (int64_t j = 0; j < s.length; j += w.block)
    make_panels(x + j * steps, steps, panel_columns<Accumulator<T>>(s, w, j), steps, panels + j * steps);
  return panels;
}

// Overwrites what lies between the first n elements of a row and the `columns` that its registers hold.
template <class S>
void fill_rest(S* row, int64_t n, int64_t columns, S value) {
  for (int64_t j = n / lanes<S> * lanes<S>; j < columns; j += lanes<S>)
#pragma omp simd
    for (int lane = 0; lane < lanes<S>; ++lane) row[j + lane] = lane < n - j ? row[j + lane] : value;
}

// Turns products into exponentials of them times `scale` against the running maximum, and rescales what was summed
// against the old one. Pass by pass over the strip's rows: what reduces a row would be waited for.
template <class S>
void online_softmax(const AttentionShape& s, const Workspace& w, Strip strip, int64_t query, int64_t key, S scale,
                    S* tile, S* most, S* sum, S* out) {
  const int64_t rows = strip.rows, columns = padded(strip.keys, lanes<S>);
  S shrink[most_block];
  for (int64_t i = 0; i < rows; ++i) {
    S* p = tile + i * w.block;
    fill_rest(p, visible(s, query + i, key, strip.keys), columns, -std::numeric_limits<S>::max());  // exponential 0
    const S top = std::max(most[i], scale * reduce(p, columns, [](auto a, auto b) { return a > b ? a : b; }));
    shrink[i] = most[i] - top;
    most[i] = top;
  }
  for (int64_t i = 0; i < rows; ++i) {
    S* p = tile + i * w.block;
    const S top = most[i];
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) p[j] = fast_exp(p[j] * scale - top);
  }
#pragma omp simd
  for (int64_t i = 0; i < rows; ++i) sum[i] *= shrink[i] = fast_exp(shrink[i]);
  for (int64_t i = 0; i < rows; ++i)
    sum[i] += reduce(tile + i * w.block, columns, [](auto a, auto b) { return a + b; });
  if (key == 0) return;
  for (int64_t i = 0; i < rows; ++i)
#pragma omp simd
    for (int64_t d = 0; d < w.dim; ++d) out[i * w.dim + d] *= shrink[i];
}

// c = a · b for the first tile of a sum, c += a · b for the others; b lies row after row.
template <class Factor, Layout layout, class... Arguments>
void add_product(bool first, const Arguments&... arguments) {
  if (first) return tile_product<Factor, layout, Layout::rows, false>(arguments...);
  tile_product<Factor, layout, Layout::rows, true>(arguments...);
}

template <class T>
void forward_head(const Attention& k, int64_t b, int64_t h) {
  using S = Accumulator<T>;
  using Factor = Operand<T>;
  const AttentionShape& s = k.shape;
  const int64_t stride = 3 * s.heads * s.dim, head = s.heads * s.dim;
  Workspace w(s, sizeof(S));
  const int64_t block = w.block, steps = w.dim / depth<T>;  // steps of a product along a head
  const T* qkv = k.qkv.as<T>() + b * s.length * stride + h * s.dim;
  const Factor* q = load(qkv, stride, h, s, w);
  const Factor* keys_t = transposed<T>(load(qkv + head, stride, h, s, w), s, w);
  const Factor* v = pair_rows(load(qkv + 2 * head, stride, h, s, w), w.dim, w.length, w.dim, w.matrix<Factor>());
  S *out = w.matrix<S>(), *tile = w.tile<S>();
  Factor* rounded = w.tile<Factor>();
  const S scale = S(1) / std::sqrt(static_cast<S>(s.dim));
  S* lse = k.lse.as<S>() + (b * s.heads + h) * s.length;
  for (int64_t i = 0; i < s.length; i += block) {
    const int64_t rows = tile_extent(s, w, i);
    S most[most_block], sum[most_block] = {};
    std::fill_n(most, rows, -std::numeric_limits<S>::max());
    for (int64_t j = 0; j < last_key(s, w, i); j += block)
      for_each_strip(s, w, i, j, [&](Strip strip) {
        const int64_t r = strip.first, m = product_rows(strip.rows), n = padded(strip.keys, lanes<S>);
        tile_product<Factor, Layout::rows, Layout::panels, false>(q + (i + r) * steps, steps, keys_t + j * steps,
                                                                  panel_columns<S>(s, w, j), m, n, steps, tile, block);
        online_softmax(s, w, strip, i + r, j, scale, tile, most + r, sum + r, out + (i + r) * w.dim);
        add_product<Factor, Layout::rows>(j == 0, round_rows(tile, block, m, n, rounded), block / depth<T>,
                                          v + j * steps, w.dim, m, w.dim, divide_up(strip.keys, depth<T>),
                                          out + (i + r) * w.dim, w.dim);
      });
    for (int64_t r = 0; r < rows; ++r) {
      lse[i + r] = most[r] + std::log(sum[r]);
      S* row = out + (i + r) * w.dim;
      const S factor = 1 / sum[r];
#pragma omp simd
      for (int64_t d = 0; d < w.dim; ++d) row[d] *= factor;
    }
  }
  unload(out, head, h, s, w, S(1), k.y.as<T>() + b * s.length * head + h * s.dim);
}

// p = exp(score − lse), and in `grad` dy·vᵀ becomes the gradient of the scores, p·(dy·vᵀ − Σ dy·y).
template <class S>
void score_gradients(const AttentionShape& s, const Workspace& w, Strip strip, int64_t query, int64_t key, S scale,
                     const S* lse, const S* along, S* tile, S* grad) {
  const int64_t columns = padded(strip.keys, lanes<S>);
  for (int64_t i = 0; i < strip.rows; ++i) {
    S *p = tile + i * w.block, *g = grad + i * w.block;
    const int64_t n = visible(s, query + i, key, strip.keys);
    const S shift = lse[query + i], mean = along[query + i];
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) {
      p[j] = fast_exp(p[j] * scale - shift);
      g[j] = p[j] * (g[j] - mean);
    }
    fill_rest(p, n, columns, S(0));
    fill_rest(g, n, columns, S(0));
  }
}

// Σ a·b of each row; of all at once, then row by row, since a sum over lanes would be waited for.
template <class T, class S>
void row_dots(const Operand<T>* a, const Operand<T>* b, const AttentionShape& s, Workspace& w, S* dots) {
  const auto *x = reinterpret_cast<const Element<T>*>(a), *y = reinterpret_cast<const Element<T>*>(b);
  S* products = w.matrix<S>();
#pragma omp simd
  for (int64_t i = 0; i < s.length * w.dim; ++i) products[i] = static_cast<S>(x[i]) * static_cast<S>(y[i]);
  for (int64_t i = 0; i < s.length; ++i)
    dots[i] = reduce(products + i * w.dim, w.dim, [](auto a, auto b) { return a + b; });
}

template <class T>
void backward_head(const AttentionBackward& k, int64_t b, int64_t h) {
  using S = Accumulator<T>;
  using Factor = Operand<T>;
  const AttentionShape& s = k.shape;
  const int64_t stride = 3 * s.heads * s.dim, head = s.heads * s.dim, offset = b * s.length * head + h * s.dim;
  Workspace w(s, sizeof(S));
  const int64_t block = w.block, steps = w.dim / depth<T>;  // steps of a product along a head
  const auto across = [&](const Factor* x) { return pair_rows(x, w.dim, w.length, w.dim, w.matrix<Factor>()); };
  const T* qkv = k.qkv.as<T>() + b * s.length * stride + h * s.dim;
  const Factor *q = load(qkv, stride, h, s, w), *dy = load(k.dy.as<T>() + offset, head, h, s, w);
  const Factor *key = load(qkv + head, stride, h, s, w), *v = load(qkv + 2 * head, stride, h, s, w);
  const Factor *keys_t = transposed<T>(key, s, w), *v_t = transposed<T>(v, s, w);
  const Factor *q_across = across(q), *dy_across = across(dy), *keys_across = across(key);
  S *along = w.row<S>(), *dq = w.matrix<S>(), *dk = w.matrix<S>(), *dv = w.matrix<S>();
  row_dots<T>(load(k.y.as<T>() + offset, head, h, s, w), dy, s, w, along);
  S *tile = w.tile<S>(), *grad = w.tile<S>();
  Factor *rounded_p = w.tile<Factor>(), *rounded_ds = w.tile<Factor>(), *p_pairs = w.tile<Factor>(),
         *ds_pairs = w.tile<Factor>();
  const S scale = S(1) / std::sqrt(static_cast<S>(s.dim));
  const S* lse = k.lse.as<S>() + (b * s.heads + h) * s.length;
  for (int64_t i = 0; i < s.length; i += block)
    for (int64_t j = 0; j < last_key(s, w, i); j += block) {
      const int64_t c = j * steps, n = panel_columns<S>(s, w, j);  // where these keys begin, and their columns
      const bool first = i == (s.causal ? j : 0);                  // queries that see these keys
      for_each_strip(s, w, i, j, [&](Strip strip) {
        const int64_t row = i + strip.first, a = row * steps, m = product_rows(strip.rows),
                      columns = padded(strip.keys, lanes<S>);
        S *scores = tile + strip.first * block, *ds = grad + strip.first * block;
        tile_product<Factor, Layout::rows, Layout::panels, false>(q + a, steps, keys_t + c, n, m, columns, steps,
                                                                  scores, block);
        tile_product<Factor, Layout::rows, Layout::panels, false>(dy + a, steps, v_t + c, n, m, columns, steps, ds,
                                                                  block);
        score_gradients(s, w, strip, row, j, scale, lse, along, scores, ds);
      });
      const int64_t rows = tile_extent(s, w, i), m = product_rows(rows);
      const Factor *p = round_rows(tile, block, m, n, rounded_p), *ds = round_rows(grad, block, m, n, rounded_ds);
      const Factor *p_across = pair_rows(p, block, m, n, p_pairs), *ds_across = pair_rows(ds, block, m, n, ds_pairs);
      for_each_strip(s, w, i, j, [&](Strip strip) {
        add_product<Factor, Layout::rows>(j == 0, ds + strip.first * block / depth<T>, block / depth<T>,
                                          keys_across + c, w.dim, product_rows(strip.rows), w.dim,
                                          divide_up(strip.keys, depth<T>), dq + (i + strip.first) * w.dim, w.dim);
      });
      for_each_strip(s, w, j, i, [&](Strip strip) {  // of keys, which the queries from strip.first on see
        const int64_t l = strip.first, row = (i + l) * steps, queries = divide_up(rows - l, depth<T>),
                      count = product_rows(strip.rows), to = (j + l) * w.dim, at = l / depth<T> * block + l;
        add_product<Factor, Layout::transposed>(first, ds_across + at, block, q_across + row, w.dim, count, w.dim,
                                                queries, dk + to, w.dim);
        add_product<Factor, Layout::transposed>(first, p_across + at, block, dy_across + row, w.dim, count, w.dim,
                                                queries, dv + to, w.dim);
      });
    }
  T* dqkv = k.dqkv.as<T>() + b * s.length * stride + h * s.dim;
  unload(dq, stride, h, s, w, scale, dqkv);
  unload(dk, stride, h, s, w, scale, dqkv + head);
  unload(dv, stride, h, s, w, S(1), dqkv + 2 * head);
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
