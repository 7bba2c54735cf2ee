// Pooling on CUDA: a thread makes sixteen bytes of neighbouring channels of one pixel.
#include "kernels/pool.h"

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/divide.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;  // four such blocks fit a multiprocessor, which leaves 64 registers a thread

struct Range {
  int begin, end;
};

// A pooling's extents in 32 bits: those of one image.
struct Window {
  int height, width, out_height, out_width, channels, kernel, stride, padding;

  explicit Window(const PoolShape& s)
      : height(static_cast<int>(s.height)),
        width(static_cast<int>(s.width)),
        out_height(static_cast<int>(s.out_height())),
        out_width(static_cast<int>(s.out_width())),
        channels(static_cast<int>(s.channels)),
        kernel(static_cast<int>(s.kernel)),
        stride(static_cast<int>(s.stride)),
        padding(static_cast<int>(s.padding)) {
    check(s.height * s.width * s.channels < (int64_t{1} << 31), "[pool] got an image of {}×{}×{}, expected below 2³¹",
          s.height, s.width, s.channels);
  }

  // The input positions along one axis that output position `i`'s window covers.
  __device__ Range inputs_of(int i, int extent) const {
    const int first = i * stride - padding;
    return {max(0, first), min(extent, first + kernel)};
  }
  // The output positions along one axis whose window covers input position `i`.
  __device__ Range outputs_of(int i, int extent) const {
    const int reach = i + padding - kernel + 1;
    return {reach > 0 ? (reach + stride - 1) / stride : 0, min(extent, (i + padding) / stride + 1)};
  }
};

// Calls f(image, row, column, channel) for each pack of N channels of a (batch, height, width, channels) grid.
struct Pixels {
  int64_t batch;
  uint32_t packs;  // of one image
  Divider channel_packs, width;

  Pixels(int64_t batch, int64_t height, int64_t width, int64_t channels, int pack)
      : batch(batch),
        packs(static_cast<uint32_t>(height * width * channels / pack)),
        channel_packs(channels / pack),
        width(width) {}
  dim3 grid() const {
    const unsigned x = blocks_for(packs, threads);
    const int64_t most = std::max<int64_t>(1, int64_t{multiprocessors()} * 32 / std::max(1u, x));
    return dim3(x, static_cast<unsigned>(std::min({batch, most, int64_t{65535}})));
  }
  template <int N, class F>
  __device__ __forceinline__ void each(F&& f) const {
    for (int64_t n = blockIdx.y; n < batch; n += gridDim.y)
      for (uint32_t i = blockIdx.x * threads + threadIdx.x; i < packs; i += gridDim.x * threads) {
        uint32_t pixel = i;
        const int channel = static_cast<int>(channel_packs.split(pixel)) * N;
        const int column = static_cast<int>(width.split(pixel));
        f(n, static_cast<int>(pixel), column, channel);
      }
  }
};

template <int N, class T>
__global__ void __launch_bounds__(threads, 4)
    max_pool_kernel(const T* x, T* y, uint8_t* index, Window w, Pixels pixels) {
  pixels.each<N>([&](int64_t n, int row, int column, int channel) {
    const T* image = x + n * w.height * w.width * w.channels + channel;
    const Range rows = w.inputs_of(row, w.height), columns = w.inputs_of(column, w.width);
    const int top = row * w.stride - w.padding, left = column * w.stride - w.padding;
    Pack<T, N> best = load_pack<Pack<T, N>>(image + (rows.begin * w.width + columns.begin) * w.channels);
    Pack<uint8_t, N> winner;
#pragma unroll
    for (int j = 0; j < N; ++j)
      winner.v[j] = static_cast<uint8_t>((rows.begin - top) * w.kernel + columns.begin - left);
    for (int h = rows.begin; h < rows.end; ++h)
      for (int v = columns.begin; v < columns.end; ++v) {
        const auto pack = load_pack<Pack<T, N>>(image + (h * w.width + v) * w.channels);
        const auto position = static_cast<uint8_t>((h - top) * w.kernel + v - left);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const float value = static_cast<float>(pack.v[j]);
          const bool wins = value > static_cast<float>(best.v[j]) || value != value;
          best.v[j] = wins ? pack.v[j] : best.v[j];
          winner.v[j] = wins ? position : winner.v[j];
        }
      }
    const int64_t to = ((n * w.out_height + row) * w.out_width + column) * w.channels + channel;
    store_pack(y + to, best);
    if (index) store_pack(index + to, winner);
  });
}

template <int N, class T>
__global__ void __launch_bounds__(threads, 4)
    average_pool_kernel(const T* x, T* y, Window w, Pixels pixels, float share) {
  pixels.each<N>([&](int64_t n, int row, int column, int channel) {
    const T* image = x + n * w.height * w.width * w.channels + channel;
    const Range rows = w.inputs_of(row, w.height), columns = w.inputs_of(column, w.width);
    float sum[N] = {};
    for (int h = rows.begin; h < rows.end; ++h)
      for (int v = columns.begin; v < columns.end; ++v) {
        const auto pack = load_pack<Pack<T, N>>(image + (h * w.width + v) * w.channels);
#pragma unroll
        for (int j = 0; j < N; ++j) sum[j] += static_cast<float>(pack.v[j]);
      }
    Pack<T, N> mean;
#pragma unroll
    for (int j = 0; j < N; ++j) mean.v[j] = static_cast<T>(sum[j] * share);
    store_pack(y + ((n * w.out_height + row) * w.out_width + column) * w.channels + channel, mean);
  });
}

// dx of a pooling: each input sums dy · share of the windows that cover it, or, with an index, of those that chose it.
template <int N, bool Chosen, class T>
__global__ void __launch_bounds__(threads, 4)
    unpool_kernel(const T* dy, const uint8_t* index, T* dx, Window w, Pixels pixels, float share) {
  pixels.each<N>([&](int64_t n, int row, int column, int channel) {
    const Range rows = w.outputs_of(row, w.out_height), columns = w.outputs_of(column, w.out_width);
    float sum[N] = {};
    for (int u = rows.begin; u < rows.end; ++u)
      for (int v = columns.begin; v < columns.end; ++v) {
        const int64_t from = ((n * w.out_height + u) * w.out_width + v) * w.channels + channel;
        const int position = (row + w.padding - u * w.stride) * w.kernel + column + w.padding - v * w.stride;
        const auto pack = load_pack<Pack<T, N>>(dy + from);
        Pack<uint8_t, N> winner;
        if constexpr (Chosen) winner = load_pack<Pack<uint8_t, N>>(index + from);
#pragma unroll
        for (int j = 0; j < N; ++j)
          if (!Chosen || winner.v[j] == position) sum[j] += static_cast<float>(pack.v[j]);
      }
    Pack<T, N> total;
#pragma unroll
    for (int j = 0; j < N; ++j) total.v[j] = static_cast<T>(sum[j] * share);
    store_pack(dx + ((n * w.height + row) * w.width + column) * w.channels + channel, total);
  });
}

// One image a blockIdx.y, its positions spread over the block's height.
template <int N, class T>
__global__ void __launch_bounds__(column_threads)
    global_average_kernel(const T* x, T* y, int64_t batch, int64_t positions, int64_t channels) {
  const int64_t column = first_column<N>();
  for (int64_t n = blockIdx.y; n < batch; n += gridDim.y) {
    float sum[N] = {};
    if (column < channels)
#pragma unroll 4
      for (int64_t p = threadIdx.y; p < positions; p += blockDim.y) {
        const auto pack = load_pack<Pack<T, N>>(x + (n * positions + p) * channels + column);
#pragma unroll
        for (int j = 0; j < N; ++j) sum[j] += static_cast<float>(pack.v[j]);
      }
    sum_over_height(sum);
    if (threadIdx.y != 0 || column >= channels) continue;
    Pack<T, N> mean;
#pragma unroll
    for (int j = 0; j < N; ++j) mean.v[j] = static_cast<T>(sum[j] / static_cast<float>(positions));
    store_pack(y + n * channels + column, mean);
  }
}

template <int N, class T>
__global__ void __launch_bounds__(threads, 4)
    spread_kernel(const T* dy, T* dx, int64_t positions, int64_t channels, Pixels pixels) {
  const float share = 1 / static_cast<float>(positions);
  pixels.each<N>([&](int64_t n, int, int position, int channel) {
    auto pack = load_pack<Pack<T, N>>(dy + n * channels + channel);
#pragma unroll
    for (int j = 0; j < N; ++j) pack.v[j] = static_cast<T>(static_cast<float>(pack.v[j]) * share);
    store_pack(dx + (n * positions + position) * channels + channel, pack);
  });
}

constexpr int widest = 8;  // a multiple of every number of elements that move together

Pixels inputs(const PoolShape& s, int pack) { return Pixels(s.batch, s.height, s.width, s.channels, pack); }
Pixels outputs(const PoolShape& s, int pack) {
  return Pixels(s.batch, s.out_height(), s.out_width(), s.channels, pack);
}

}  // namespace

void run(const MaxPool& k, Stream stream) {
  if (k.shape.batch * k.shape.channels == 0) return;
  const bool wide = k.shape.channels % widest == 0 && aligned16(k.x.data, k.y.data, k.index.data);
  dispatch_pack(k.x.dtype, wide, [&](auto tag, auto n) {
    using T = decltype(tag);
    const Pixels pixels = outputs(k.shape, n);
    launch_kernel(max_pool_kernel<n, T>, pixels.grid(), threads, 0, stream, k.x.as<T>(), k.y.as<T>(),
                  k.index.as<uint8_t>(), Window(k.shape), pixels);
  });
}

void run(const MaxPoolBackward& k, Stream stream) {
  if (k.shape.batch * k.shape.channels == 0) return;
  const bool wide = k.shape.channels % widest == 0 && aligned16(k.dy.data, k.index.data, k.dx.data);
  dispatch_pack(k.dy.dtype, wide, [&](auto tag, auto n) {
    using T = decltype(tag);
    const Pixels pixels = inputs(k.shape, n);
    launch_kernel(unpool_kernel<n, true, T>, pixels.grid(), threads, 0, stream, k.dy.as<T>(), k.index.as<uint8_t>(),
                  k.dx.as<T>(), Window(k.shape), pixels, 1.0f);
  });
}

void run(const AveragePool& k, Stream stream) {
  if (k.shape.batch * k.shape.channels == 0) return;
  const float share = 1 / static_cast<float>(k.shape.kernel * k.shape.kernel);
  const bool wide = k.shape.channels % widest == 0 && aligned16(k.x.data, k.y.data);
  dispatch_pack(k.x.dtype, wide, [&](auto tag, auto n) {
    using T = decltype(tag);
    const Pixels pixels = outputs(k.shape, n);
    launch_kernel(average_pool_kernel<n, T>, pixels.grid(), threads, 0, stream, k.x.as<T>(), k.y.as<T>(),
                  Window(k.shape), pixels, share);
  });
}

void run(const AveragePoolBackward& k, Stream stream) {
  if (k.shape.batch * k.shape.channels == 0) return;
  const float share = 1 / static_cast<float>(k.shape.kernel * k.shape.kernel);
  const bool wide = k.shape.channels % widest == 0 && aligned16(k.dy.data, k.dx.data);
  dispatch_pack(k.dy.dtype, wide, [&](auto tag, auto n) {
    using T = decltype(tag);
    const Pixels pixels = inputs(k.shape, n);
    launch_kernel(unpool_kernel<n, false, T>, pixels.grid(), threads, 0, stream, k.dy.as<T>(),
                  static_cast<const uint8_t*>(nullptr), k.dx.as<T>(), Window(k.shape), pixels, share);
  });
}

void run(const GlobalAveragePool& k, Stream stream) {
  const bool wide = k.channels % widest == 0 && aligned16(k.x.data, k.y.data);
  dispatch_pack(k.x.dtype, wide, [&](auto tag, auto n) {
    using T = decltype(tag);
    const ColumnGrid grid(k.channels, n);
    const dim3 blocks(grid.tiles, static_cast<unsigned>(std::min<int64_t>(k.batch, 65535)));
    launch_kernel(global_average_kernel<n, T>, blocks, grid.block(), 0, stream, k.x.as<T>(), k.y.as<T>(), k.batch,
                  k.positions, k.channels);
  });
}

void run(const GlobalAveragePoolBackward& k, Stream stream) {
  if (k.batch * k.positions * k.channels == 0) return;
  const bool wide = k.channels % widest == 0 && aligned16(k.dy.data, k.dx.data);
  dispatch_pack(k.dy.dtype, wide, [&](auto tag, auto n) {
    using T = decltype(tag);
    const Pixels pixels(k.batch, 1, k.positions, k.channels, n);
    launch_kernel(spread_kernel<n, T>, pixels.grid(), threads, 0, stream, k.dy.as<T>(), k.dx.as<T>(), k.positions,
                  k.channels, pixels);
  });
}

}  // namespace gestalt::kernels::cuda
