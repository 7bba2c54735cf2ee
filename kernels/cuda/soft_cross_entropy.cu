// Soft cross-entropy and DINO's centre on CUDA: a warp or a block a row, and no softmax in memory.
#include "kernels/soft_cross_entropy.h"

#include <cfloat>

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/rows.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int blocks_at_once = 4;  // of a multiprocessor: more would spill registers

// Over the elements seen so far: Σ e^(z − most) and Σ (z − most) e^(z − most). `most` starts low, yet finite.
struct Running {
  float most = -FLT_MAX, sum = 0, moment = 0;

  __device__ __forceinline__ void raise(float top) {
    if (top <= most) return;
    const float gap = most - top, shrink = __expf(gap);
    moment = (moment + (sum > 0 ? gap * sum : 0.0f)) * shrink;
    sum *= shrink;
    most = top;
  }
  __device__ __forceinline__ void add(float z) {
    const float e = __expf(z - most);
    sum += e;
    moment += (z - most) * e;
  }
  // The threads of the row join what they saw.
  template <class S>
  __device__ __forceinline__ void join() {
    raise(S::most(most));
    sum = S::sum(sum);
    moment = S::sum(moment);
  }
  __device__ __forceinline__ float lse() const { return most + logf(sum); }
  __device__ __forceinline__ float entropy() const { return logf(sum) - moment / sum; }
};

// Target rows of U: logits, or probabilities.
template <class U, bool probabilities>
struct Targets {
  const U* rows;
  const float* centre;
  const float* lse;
  Varying<double> temperature;
  SoftPairs pairs;
  int classes;

  __device__ __forceinline__ float inverse() const {
    return probabilities ? 1.0f : static_cast<float>(1 / temperature.now());
  }
};

// What the student row of one view and image meets.
template <class U, bool probabilities>
struct Met {
  const U* row;  // of the image in the first target view
  const float *centre, *lse;
  int64_t stride;  // from one target view to the next
  int images, views, skipped;
  float inverse;

  __device__ __forceinline__ Met(const Targets<U, probabilities>& of, int view, int image)
      : row(of.rows + int64_t{image} * of.classes),
        centre(of.centre),
        lse(of.lse + image),
        stride(of.pairs.images * of.classes),
        images(static_cast<int>(of.pairs.images)),
        views(static_cast<int>(of.pairs.target_views)),
        skipped(of.pairs.same_view ? -1 : view),
        inverse(of.inverse()) {}

  // The sum of the probabilities of N classes.
  template <int N>
  __device__ __forceinline__ Pack<float, N> at(int column) const {
    Pack<float, N> p{}, c{};
    if constexpr (!probabilities)
      if (centre) c = load_pack<Pack<float, N>>(centre + column);
    const U* from = row + column;
#pragma unroll 1
    for (int i = 0; i < views; ++i, from += stride) {
      if (i == skipped) continue;
      const auto pack = load_pack<Pack<U, N>>(from);
      const float most = probabilities ? 0.0f : lse[i * images];
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float v = static_cast<float>(pack.v[j]);
        p.v[j] += probabilities ? v : __expf((v - c.v[j]) * inverse - most);
      }
    }
    return p;
  }
};

template <class S, class U, bool probabilities>
__global__ void __launch_bounds__(row_threads) target_kernel(Targets<U, probabilities> of, float* lse, float* entropy) {
  const int64_t t = int64_t{blockIdx.x} * S::Rows + S::slot();
  if (t >= of.pairs.targets()) return;
  const U* row = of.rows + t * of.classes;
  if constexpr (probabilities) {
    float sum = 0;
    S::each(of.classes, [&](int, int column) {
      const auto pack = load_pack<Pack<U, S::N>>(row + column);
#pragma unroll
      for (int j = 0; j < S::N; ++j) {
        const float p = static_cast<float>(pack.v[j]);
        if (p > 0) sum -= p * logf(p);
      }
    });
    sum = S::sum(sum);
    if (S::thread() != 0) return;
    lse[t] = 0;
    entropy[t] = sum;
  } else {
    const float by = of.inverse();
    Running running;
    S::each(of.classes, [&](int, int column) {
      const auto pack = load_pack<Pack<U, S::N>>(row + column);
      const auto c = of.centre ? load_pack<Pack<float, S::N>>(of.centre + column) : Pack<float, S::N>{};
      float z[S::N], top = -FLT_MAX;
#pragma unroll
      for (int j = 0; j < S::N; ++j) {
        z[j] = (static_cast<float>(pack.v[j]) - c.v[j]) * by;
        top = fmaxf(top, z[j]);
      }
      running.raise(top);
#pragma unroll
      for (int j = 0; j < S::N; ++j) running.add(z[j]);
    });
    running.join<S>();
    if (S::thread() != 0) return;
    lse[t] = running.lse();
    entropy[t] = running.entropy();
  }
}

template <class S, class T, class U, bool probabilities>
__global__ void __launch_bounds__(row_threads, blocks_at_once)
    student_kernel(const T* student, Targets<U, probabilities> of, const float* entropy, float* lse, float* mass,
                   float* row_loss, float* row_kl, float inverse) {
  const int64_t r = int64_t{blockIdx.x} * S::Rows + S::slot();
  if (r >= of.pairs.rows()) return;
  const auto view = static_cast<int>(r / of.pairs.images), image = static_cast<int>(r % of.pairs.images);
  const Met<U, probabilities> met(of, view, image);
  const T* row = student + r * of.classes;
  Running running;
  float dot = 0, total = 0;
  S::each(of.classes, [&](int, int column) {
    const auto pack = load_pack<Pack<T, S::N>>(row + column);
    const auto p = met.template at<S::N>(column);
    float z[S::N], top = -FLT_MAX;
#pragma unroll
    for (int j = 0; j < S::N; ++j) {
      z[j] = static_cast<float>(pack.v[j]) * inverse;
      top = fmaxf(top, z[j]);
      dot += p.v[j] * z[j];
      total += p.v[j];
    }
    running.raise(top);
#pragma unroll
    for (int j = 0; j < S::N; ++j) running.add(z[j]);
  });
  running.join<S>();
  dot = S::sum(dot);
  total = S::sum(total);
  if (S::thread() != 0) return;
  const float shift = running.lse(), loss = total * shift - dot;
  float entropies = 0;
  for (int64_t i = 0; i < of.pairs.target_views; ++i)
    if (of.pairs.meet(view, i)) entropies += entropy[i * of.pairs.images + image];
  lse[r] = shift;
  mass[r] = total;
  row_loss[r] = loss;
  row_kl[r] = loss - entropies;
}

constexpr int join_threads = 1024;

// Sums over the rows by one block, in a fixed order.
__global__ void __launch_bounds__(join_threads)
    join_rows_kernel(const float* row_loss, const float* row_kl, const float* entropy, const float* weights,
                     float* loss, float* kl, float* mean_entropy, int64_t rows, int64_t targets, double share) {
  double losses = 0, divergences = 0, entropies = 0;
  for (int64_t r = threadIdx.x; r < rows; r += join_threads) {
    const double weight = weights ? static_cast<double>(weights[r]) : share;
    losses += weight * static_cast<double>(row_loss[r]);
    divergences += weight * static_cast<double>(row_kl[r]);
  }
  for (int64_t t = threadIdx.x; t < targets; t += join_threads) entropies += entropy[t];
  losses = block_sum(losses);
  divergences = block_sum(divergences);
  entropies = block_sum(entropies);
  if (threadIdx.x != 0) return;
  loss[0] = static_cast<float>(losses);
  kl[0] = static_cast<float>(divergences);
  mean_entropy[0] = static_cast<float>(entropies / static_cast<double>(targets));
}

template <class S, class T, class U, bool probabilities>
__global__ void __launch_bounds__(row_threads, blocks_at_once)
    soft_gradient_kernel(const T* student, Targets<U, probabilities> of, const float* weights, const float* lse,
                         const float* mass, const float* dloss, T* dstudent, float inverse, float share) {
  const int64_t r = int64_t{blockIdx.x} * S::Rows + S::slot();
  if (r >= of.pairs.rows()) return;
  const auto view = static_cast<int>(r / of.pairs.images), image = static_cast<int>(r % of.pairs.images);
  const Met<U, probabilities> met(of, view, image);
  const float shift = lse[r], total = mass[r];
  const float gain = dloss[0] * inverse * (weights ? weights[r] : share);
  S::each(of.classes, [&](int, int column) {
    auto pack = load_pack<Pack<T, S::N>>(student + r * of.classes + column);
    const auto p = met.template at<S::N>(column);
#pragma unroll
    for (int j = 0; j < S::N; ++j)
      pack.v[j] = static_cast<T>(gain * (total * __expf(static_cast<float>(pack.v[j]) * inverse - shift) - p.v[j]));
    store_pack(dstudent + r * of.classes + column, pack);
  });
}

template <class T>
__global__ void __launch_bounds__(column_threads)
    centre_update_kernel(const T* rows, float* centre, int64_t count, int64_t classes, float momentum) {
  const int64_t c = first_column<1>();
  float sum[1] = {};
  if (c < classes)
#pragma unroll 4
    for (int64_t i = threadIdx.y; i < count; i += blockDim.y) sum[0] += static_cast<float>(rows[i * classes + c]);
  sum_over_height(sum);
  if (c >= classes || threadIdx.y != 0) return;
  centre[c] = momentum * centre[c] + (1 - momentum) * (sum[0] / static_cast<float>(count));
}

// Calls f(T{}, Targets, RowShape): a warp or a block a row; groups of four elements where rows allow them.
template <class Kernel, class F>
void dispatch_rows(const Kernel& k, F&& f) {
  check(k.classes < (int64_t{1} << 30) && k.pairs.targets() < (int64_t{1} << 30),
        "[soft_cross_entropy] got {} classes and {} targets, expected below 2³⁰", k.classes, k.pairs.targets());
  const auto shapes = [&](auto tag, auto targets, bool aligned) {
    if (k.classes % 4 == 0 && aligned)
      return k.classes <= 1024 ? f(tag, targets, RowShape<4, 0, 32>()) : f(tag, targets, RowShape<4, 0, row_threads>());
    return k.classes <= 1024 ? f(tag, targets, RowShape<1, 0, 32>()) : f(tag, targets, RowShape<1, 0, row_threads>());
  };
  const auto classes = static_cast<int>(k.classes);
  const float* centre = k.of.centre.template as<float>();
  const auto* target_lse = static_cast<const float*>(k.target_lse.data);
  dispatch_cuda(k.student.dtype, [&](auto tag) {
    using T = decltype(tag);
    const bool aligned = aligned16(k.student.data, k.of.rows.data, centre);
    if (k.of.probabilities)
      shapes(
          tag,
          Targets<float, true>{k.of.rows.template as<float>(), centre, target_lse, k.of.temperature, k.pairs, classes},
          aligned);
    else
      shapes(tag, Targets<T, false>{k.of.rows.template as<T>(), centre, target_lse, k.of.temperature, k.pairs, classes},
             aligned);
  });
}

template <class U, bool probabilities, class S>
void launch_targets(const Targets<U, probabilities>& of, S shape, float* lse, float* entropy, Stream stream) {
  launch_kernel(target_kernel<S, U, probabilities>, row_blocks(shape, of.pairs.targets()), row_threads, 0, stream, of,
                lse, entropy);
}

template <class T, class U, bool probabilities, class S>
void launch_students(const SoftCrossEntropy& k, const Targets<U, probabilities>& of, S shape, const float* entropy,
                     float* row_loss, float* row_kl, Stream stream) {
  launch_kernel(student_kernel<S, T, U, probabilities>, row_blocks(shape, of.pairs.rows()), row_threads, 0, stream,
                k.student.as<T>(), of, entropy, k.lse.as<float>(), k.mass.as<float>(), row_loss, row_kl,
                1 / k.temperature);
}

template <class T, class U, bool probabilities, class S>
void launch_gradient(const SoftCrossEntropyBackward& k, const Targets<U, probabilities>& of, S shape, Stream stream) {
  launch_kernel(soft_gradient_kernel<S, T, U, probabilities>, row_blocks(shape, of.pairs.rows()), row_threads, 0,
                stream, k.student.as<T>(), of, k.weights.as<float>(), k.lse.as<float>(), k.mass.as<float>(),
                k.dloss.as<float>(), k.dstudent.as<T>(), 1 / k.temperature, 1 / real(k.pairs.count()));
}

}  // namespace

void run(const SoftCrossEntropy& k, Stream stream) {
  const int64_t rows = k.pairs.rows(), targets = k.pairs.targets();
  auto* row_loss = static_cast<float*>(stream.scratch);
  float *row_kl = row_loss + rows, *entropy = row_kl + rows;
  dispatch_rows(k, [&](auto tag, auto of, auto shape) {
    launch_targets(of, shape, k.target_lse.as<float>(), entropy, stream);
    launch_students<decltype(tag)>(k, of, shape, entropy, row_loss, row_kl, stream);
  });
  launch_kernel(join_rows_kernel, 1, join_threads, 0, stream, row_loss, row_kl, entropy, k.weights.as<float>(),
                k.loss.as<float>(), k.kl.as<float>(), k.entropy.as<float>(), rows, targets, 1 / real(k.pairs.count()));
}

void run(const SoftCrossEntropyBackward& k, Stream stream) {
  check((reinterpret_cast<uintptr_t>(k.student.data) - reinterpret_cast<uintptr_t>(k.dstudent.data)) % 16 == 0,
        "[soft_cross_entropy] got logits and their gradient at addresses that differ by no multiple of 16");
  dispatch_rows(k, [&](auto tag, auto of, auto shape) { launch_gradient<decltype(tag)>(k, of, shape, stream); });
}

void run(const UpdateCentre& k, Stream stream) {
  const ColumnGrid grid(k.classes, 1);
  dispatch_cuda(k.rows.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(centre_update_kernel<T>, grid.tiles, grid.block(), 0, stream, k.rows.as<T>(), k.centre.as<float>(),
                  k.count, k.classes, k.momentum);
  });
}

}  // namespace gestalt::kernels::cuda
