// Exact nearest neighbours on CUDA: similarities of a chunk of queries, the k-th largest by its digits, then the votes.
#include "kernels/knn.h"

#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;
constexpr int tile_queries = 128, tile_bank = 64, depth = 32, pitch = depth + row_padding;

template <class T>
__global__ void __launch_bounds__(threads) inverse_norm_kernel(const T* x, float* inverse, int64_t rows, int64_t dim) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= rows) return;
  double squares = 0;
  for (int64_t d = lane; d < dim; d += 32) {
    const double v = static_cast<float>(x[i * dim + d]);
    squares += v * v;
  }
  squares = warp_sum(squares);
  if (lane == 0) inverse[i] = squares > 1e-24 ? static_cast<float>(1 / sqrt(squares)) : 0.0f;
}

// Rows [first, first + rows) and columns [column, column + depth) of the unit rows of x, zeros outside of it.
template <class T>
__device__ __forceinline__ void load_units(float* tile, const T* x, const float* inverse, int rows, int64_t first,
                                           int64_t count, int64_t column, int64_t dim) {
  for (int i = threadIdx.x; i < rows * depth; i += threads) {
    const int64_t row = first + i / depth, d = column + i % depth;
    tile[i / depth * pitch + i % depth] =
        row < count && d < dim ? static_cast<float>(x[row * dim + d]) * inverse[row] : 0.0f;
  }
}

// Block (b, q): similarities of 128 queries to 64 rows of the bank; warps stand 4 down, 2 across.
template <class T>
__global__ void __launch_bounds__(threads)
    similarity_kernel(const T* queries, const T* bank, const float* inv_queries, const float* inv_bank,
                      float* similarities, int64_t query_count, int64_t bank_count, int64_t dim) {
  GESTALT_SHARED(float, query_tile, [tile_queries * pitch]);
  GESTALT_SHARED(float, bank_tile, [tile_bank * pitch]);
  using F = Fragments<float>;
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int row_at = warp / 2 * 32, column_at = warp % 2 * 32;
  const int64_t first_query = blockIdx.y * int64_t{tile_queries}, first_row = blockIdx.x * int64_t{tile_bank};
  float s[2][4][4] = {};
  for (int64_t d = 0; d < dim; d += depth) {
    load_units(query_tile, queries, inv_queries, tile_queries, first_query, query_count, d, dim);
    load_units(bank_tile, bank, inv_bank, tile_bank, first_row, bank_count, d, dim);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < depth; k += F::depth) {
      F::A a[2];
#pragma unroll
      for (int m = 0; m < 2; ++m) a[m] = F::load_a(query_tile + (row_at + 16 * m) * pitch + k, pitch);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        F::B b[2];
        F::load_b(b, bank_tile + (column_at + 16 * n) * pitch + k, pitch);
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
          for (int i = 0; i < 2; ++i) F::multiply(s[m][2 * n + i], a[m], b[i]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t q = first_query + row_at + 16 * m + e / 2 * 8 + g;
        const int64_t j = first_row + column_at + 8 * n + 2 * t + e % 2;
        if (q < query_count && j < bank_count) similarities[q * bank_count + j] = s[m][n][e] + 0.0f;  // −0 is 0
      }
}

// Larger floats have larger keys.
__device__ __forceinline__ uint32_t key_of(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// What is chosen of a row: everything with a key above `key`, and of those with this very key the first `equal`.
struct Bar {
  uint32_t key;
  int equal;
};

// The key of the k-th largest, found 8 bits at a time.
__device__ Bar find_bar(const float* row, int64_t count, int k) {
  GESTALT_SHARED(int, histogram, [256]);
  GESTALT_SHARED(Bar, shared_bar, [1]);
  uint32_t known = 0;
  if (threadIdx.x == 0) shared_bar[0] = {0, k};
  for (int shift = 24; shift >= 0; shift -= 8) {
    histogram[threadIdx.x] = 0;
    __syncthreads();
    const uint32_t prefix = shared_bar[0].key;
    for (int64_t i = threadIdx.x; i < count; i += threads) {
      const uint32_t key = key_of(row[i]);
      if ((key & known) == prefix) atomicAdd(&histogram[key >> shift & 255], 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int left = shared_bar[0].equal, digit = 255;
      for (; digit > 0 && histogram[digit] < left; --digit) left -= histogram[digit];
      shared_bar[0] = {prefix | static_cast<uint32_t>(digit) << shift, left};
    }
    known |= 255u << shift;
    __syncthreads();
  }
  return shared_bar[0];
}

// Writes the chosen of a row to `similarity` and `label`, by index: each warp those of its own range.
__device__ void collect(const float* row, const int32_t* labels, int64_t count, Bar bar, float* similarity,
                        int32_t* label) {
  GESTALT_SHARED(int, above_of, [warps]);
  GESTALT_SHARED(int, equal_of, [warps]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t part = (count + threads - 1) / threads * 32, begin = warp * part;
  const int64_t end = begin + part < count ? begin + part : count;
  int above = 0, equal = 0;
  for (int64_t i = begin + lane; i < end; i += 32) {
    const uint32_t key = key_of(row[i]);
    above += key > bar.key, equal += key == bar.key;
  }
  above = warp_sum(above), equal = warp_sum(equal);
  if (lane == 0) above_of[warp] = above, equal_of[warp] = equal;
  __syncthreads();
  above = equal = 0;
  for (int w = 0; w < warp; ++w) above += above_of[w], equal += equal_of[w];
  const unsigned earlier = (1u << lane) - 1;
  for (int64_t first = begin; first < end; first += 32) {
    const int64_t i = first + lane;
    const float s = i < end ? row[i] : 0;
    const bool over = i < end && key_of(s) > bar.key, same = i < end && key_of(s) == bar.key;
    const unsigned overs = __ballot_sync(full_warp, over), sames = __ballot_sync(full_warp, same);
    const int equal_before = equal + __popc(sames & earlier);
    const int to = above + __popc(overs & earlier) + (equal_before < bar.equal ? equal_before : bar.equal);
    if (over || (same && equal_before < bar.equal))
      similarity[to] = s, label[to] = labels ? labels[i] : static_cast<int32_t>(i);
    above += __popc(overs), equal += __popc(sames);
  }
  __syncthreads();
}

// A block a query. Votes of a class are added in the order of the bank.
__global__ void __launch_bounds__(threads)
    vote_kernel(const float* similarities, const int32_t* labels, float* chosen, int32_t* predictions,
                int64_t bank_count, int k, double temperature, int64_t classes) {
  const float* row = similarities + blockIdx.x * bank_count;
  float* weight = chosen + blockIdx.x * int64_t{2} * k;
  auto* label = reinterpret_cast<int32_t*>(weight + k);
  collect(row, labels, bank_count, find_bar(row, bank_count, k), weight, label);
  float nearest = weight[0];
  for (int a = threadIdx.x; a < k; a += threads) nearest = weight[a] > nearest ? weight[a] : nearest;
  nearest = block_max(nearest);
  // Relative to the nearest one's, so that no temperature overflows.
  for (int a = threadIdx.x; a < k; a += threads)
    weight[a] = static_cast<float>(exp((static_cast<double>(weight[a]) - nearest) / temperature));
  __syncthreads();
  double most = 0;
  int32_t winner = 0;
  for (int a = threadIdx.x; a < k; a += threads) {
    if (label[a] < 0 || label[a] >= classes) continue;
    double votes = 0;
    for (int b = 0; b < k; ++b) votes += label[b] == label[a] ? weight[b] : 0.0f;
    if (votes > most || (votes == most && label[a] < winner)) most = votes, winner = label[a];
  }
  const double highest = block_max(most);
  const int32_t lowest = -block_max(most == highest ? -winner : INT32_MIN + 1);
  if (threadIdx.x == 0) predictions[blockIdx.x] = lowest;
}

template <class T>
void classify(const Knn& k, Stream stream) {
  const T *queries = k.queries.as<T>(), *bank = k.bank.as<T>();
  Scratch memory(stream.scratch);
  const KnnScratch s(memory, k);
  launch_kernel(inverse_norm_kernel<T>, divide_up(k.query_count, warps), threads, 0, stream, queries, s.inv_queries,
                k.query_count, k.dim);
  launch_kernel(inverse_norm_kernel<T>, divide_up(k.bank_count, warps), threads, 0, stream, bank, s.inv_bank,
                k.bank_count, k.dim);
  for (int64_t first = 0; first < k.query_count; first += s.chunk) {
    const int64_t some = std::min(s.chunk, k.query_count - first);
    launch_kernel(similarity_kernel<T>, dim3(divide_up(k.bank_count, tile_bank), divide_up(some, tile_queries)),
                  threads, 0, stream, queries + first * k.dim, bank, s.inv_queries + first, s.inv_bank, s.similarities,
                  some, k.bank_count, k.dim);
    launch_kernel(vote_kernel, some, threads, 0, stream, s.similarities, k.labels.as<int32_t>(), s.chosen,
                  k.predictions.as<int32_t>() + first, k.bank_count, static_cast<int>(s.neighbours), k.temperature,
                  k.classes);
  }
}

}  // namespace

void run(const Knn& k, Stream stream) {
  dispatch_cuda(k.queries.dtype, [&](auto tag) { classify<decltype(tag)>(k, stream); });
}

}  // namespace gestalt::kernels::cuda
