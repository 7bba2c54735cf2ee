// Sinkhorn's algorithm on CUDA: a block a chunk of rows, whose exponentials are made anew in each pass.
#include "kernels/sinkhorn.h"

#include <cfloat>

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32, chunk_rows = SinkhornRows::chunk;
constexpr float least = static_cast<float>(sinkhorn_least);

template <class T>
struct Scores {
  const float* extra;
  const T* scores;
  Varying<double> use_extra;
  SinkhornRows rows;
  int classes;
  float inverse;

  __device__ __forceinline__ bool takes_part(int64_t c) const { return c >= rows.first(use_extra.now()); }
  // The exponent of row b and class j. Which operand it comes from is the same for a whole block.
  __device__ __forceinline__ float at(int64_t b, int j) const {
    if (b < rows.extra) return extra[b * classes + j] * inverse;
    return static_cast<float>(scores[(b - rows.extra) * classes + j]) * inverse;
  }
};

// Of each row the largest exponent, and the sums over the chunk's rows relative to the largest of them.
template <class T>
__global__ void __launch_bounds__(threads)
    first_sums_kernel(const Scores<T> of, float* tops, float* shifts, float* partial) {
  const int64_t c = blockIdx.x;
  if (!of.takes_part(c)) return;
  GESTALT_SHARED(float, most, [chunk_rows]);
  const int64_t begin = of.rows.begin(c);
  const int count = static_cast<int>(of.rows.end(c) - begin), lane = threadIdx.x % 32;
  for (int r = threadIdx.x / 32; r < count; r += warps) {
    float top = -FLT_MAX;
    for (int j = lane; j < of.classes; j += 32) top = fmaxf(top, of.at(begin + r, j));
    top = warp_max(top);
    if (lane == 0) most[r] = shifts[begin + r] = top;
  }
  __syncthreads();
  float top = -FLT_MAX;
  for (int r = 0; r < count; ++r) top = fmaxf(top, most[r]);
  if (threadIdx.x == 0) tops[c] = top;
  for (int j = threadIdx.x; j < of.classes; j += threads) {
    float sum = 0;
#pragma unroll 4
    for (int r = 0; r < count; ++r) sum += __expf(of.at(begin + r, j) - top);
    partial[c * of.classes + j] = sum;
  }
}

// Σ over the chunk's rows of e_bj v_b; or, of the assigned rows, the assignment and its sums.
template <class T, bool assigns>
__global__ void __launch_bounds__(threads) round_kernel(const Scores<T> of, int64_t first_chunk, const float* shifts,
                                                        const float* gain, float* partial, float* assignment) {
  const int64_t c = first_chunk + blockIdx.x;
  if (!of.takes_part(c)) return;
  GESTALT_SHARED(float, inverse_mass, [chunk_rows]);
  GESTALT_SHARED(float, shift, [chunk_rows]);
  const int64_t begin = of.rows.begin(c);
  const int count = static_cast<int>(of.rows.end(c) - begin), lane = threadIdx.x % 32;
  for (int r = threadIdx.x / 32; r < count; r += warps) {
    const float top = shifts[begin + r];
    float mass = 0;
#pragma unroll 4
    for (int j = lane; j < of.classes; j += 32) mass += __expf(of.at(begin + r, j) - top) * gain[j];
    mass = warp_sum(mass);
    if (lane == 0) {
      inverse_mass[r] = 1 / fmaxf(mass, least);
      shift[r] = top;
    }
  }
  __syncthreads();
  for (int j = threadIdx.x; j < of.classes; j += threads) {
    const float by = assigns ? gain[j] : 1.0f;
    float sum = 0;
#pragma unroll 4
    for (int r = 0; r < count; ++r) {
      const float q = __expf(of.at(begin + r, j) - shift[r]) * by * inverse_mass[r];
      if constexpr (assigns) assignment[(begin + r - of.rows.extra) * of.classes + j] = q;
      sum += q;
    }
    partial[c * of.classes + j] = sum;
  }
}

enum class Join { tops, plain, mean, none };

// gain = rows a class / Σ over the chunks that take part, relative to the largest of their tops where those are used;
// or the mean of the assigned rows; or 1.
__global__ void __launch_bounds__(column_threads)
    join_chunks_kernel(SinkhornRows rows, Varying<double> use_extra, Join how, const float* tops, const float* partial,
                       int classes, float* gain) {
  const int64_t j = first_column<1>(), chunks = rows.chunks();
  const int64_t first = how == Join::mean ? rows.extra_chunks() : rows.first(use_extra.now());
  float top = -FLT_MAX;
  if (how == Join::tops)
    for (int64_t c = first; c < chunks; ++c) top = fmaxf(top, tops[c]);
  float sum[1] = {};
  if (j < classes && how != Join::none)
#pragma unroll 4
    for (int64_t c = first + threadIdx.y; c < chunks; c += blockDim.y)
      sum[0] += partial[c * classes + j] * (how == Join::tops ? __expf(tops[c] - top) : 1.0f);
  sum_over_height(sum);
  if (j >= classes || threadIdx.y != 0) return;
  if (how == Join::mean)
    gain[j] = sum[0] / static_cast<float>(rows.rows);
  else
    gain[j] =
        how == Join::none ? 1.0f : static_cast<float>(rows.share(use_extra.now(), classes)) / fmaxf(sum[0], least);
}

__global__ void __launch_bounds__(threads) health_kernel(const float* mean, int classes, float* entropy, float* used) {
  double sum = 0;
  int count = 0;
  for (int j = threadIdx.x; j < classes; j += threads) {
    const float p = mean[j];
    if (p > 0) sum -= static_cast<double>(p * logf(p));
    count += 2 * p * static_cast<float>(classes) >= 1;
  }
  sum = block_sum(sum);
  count = block_sum(count);
  if (threadIdx.x != 0) return;
  *entropy = static_cast<float>(sum);
  *used = static_cast<float>(count) / static_cast<float>(classes);
}

}  // namespace

void run(const Sinkhorn& k, Stream stream) {
  check(k.classes < (int64_t{1} << 30) && k.walk().chunks() < (int64_t{1} << 30),
        "[sinkhorn] got {} rows of {} classes, expected below 2³⁰", k.extra_rows + k.rows, k.classes);
  Scratch memory(stream.scratch);
  const SinkhornScratch<float> to(memory, k);
  const SinkhornRows rows = k.walk();
  const auto classes = static_cast<int>(k.classes);
  const auto chunks = static_cast<unsigned>(rows.chunks()),
             assigned = static_cast<unsigned>(chunks - rows.extra_chunks());
  const ColumnGrid grid(k.classes, 1);
  const auto join = [&](Join how) {
    launch_kernel(join_chunks_kernel, grid.tiles, grid.block(), 0, stream, rows, k.use_extra, how, to.tops, to.partial,
                  classes, to.gain);
  };
  dispatch_cuda(k.scores.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Scores<T> of{
        k.extra.as<float>(), k.scores.as<T>(), k.use_extra, rows, classes, static_cast<float>(1 / k.epsilon)};
    launch_kernel(first_sums_kernel<T>, chunks, threads, 0, stream, of, to.tops, to.shifts, to.partial);
    join(k.rounds == 0 ? Join::none : Join::tops);
    for (int64_t r = 1; r < k.rounds; ++r) {
      launch_kernel(round_kernel<T, false>, chunks, threads, 0, stream, of, int64_t{0}, to.shifts, to.gain, to.partial,
                    static_cast<float*>(nullptr));
      join(Join::plain);
    }
    launch_kernel(round_kernel<T, true>, assigned, threads, 0, stream, of, rows.extra_chunks(), to.shifts, to.gain,
                  to.partial, k.assignment.as<float>());
  });
  join(Join::mean);
  launch_kernel(health_kernel, 1, threads, 0, stream, to.gain, classes, k.mean_entropy.as<float>(), k.used.as<float>());
}

}  // namespace gestalt::kernels::cuda
