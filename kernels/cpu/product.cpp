// Matrix products on the CPU: blocks by oneDNN for f32 and bf16 (in f32, where the processor has no bf16), a plain loop
// for f64.
#include "kernels/product.h"

#include <algorithm>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/cpu/write.h"
#include "kernels/elementwise.h"

namespace gestalt::kernels::cpu {
namespace {

void plain_product(const Product& k) {
  const double *a = k.a.as<double>(), *b = k.b.as<double>(), *bias = k.bias.as<double>();
  double* c = k.c.as<double>();
  parallel_ranges(k.batch * k.m, 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t i = row % k.m;
      const double *am = a + row / k.m * k.m * k.k, *bm = b + row / k.m * k.k * k.n;
      for (int64_t j = 0; j < k.n; ++j) {
        double sum = bias ? bias[j] : 0;
        for (int64_t l = 0; l < k.k; ++l)
          sum += am[k.transpose_a ? l * k.m + i : i * k.k + l] * bm[k.transpose_b ? j * k.k + l : l * k.n + j];
        c[row * k.n + j] = sum;
      }
    }
  });
}

// How a product is cut into blocks that threads take, by its sizes alone: how many groups of matrices, and of each
// matrix how many parts of its rows, columns and depth.
struct Cut {
  int64_t matrices = 1, rows = 1, columns = 1, depth = 1;

  explicit Cut(const Product& k) {
    // Blocks are worth a thread's while, and wide enough that laying out operands is little beside multiplying them.
    constexpr double least_flops = 8e6;
    constexpr int64_t least_side = 192, least_depth = 2048, most = 64;
    const double flops = 2 * real(k.batch) * real(k.m) * real(k.n) * real(k.k);
    int64_t wanted = std::clamp<int64_t>(static_cast<int64_t>(flops / least_flops), 1, most);
    matrices = std::min(k.batch, wanted);
    for (wanted /= matrices; wanted > 1; wanted = (wanted + 1) / 2) {
      const bool by_rows = k.m / rows >= k.n / columns;
      if ((by_rows ? k.m / rows : k.n / columns) < 2 * least_side) break;
      (by_rows ? rows : columns) *= 2;
    }
    if (k.batch > 1) return;
    depth = std::clamp<int64_t>(k.k / least_depth, 1, wanted);
    if (blocks() == 1 && k.k >= least_depth / 4) depth = std::min<int64_t>(wanted, 2);  // rather than one thread's work
  }

  int64_t blocks() const { return matrices * rows * columns * depth; }
};

struct Part {
  int64_t begin, count;
};

// Part i of `parts` of a side, which begins at a whole register and line of the cache.
Part part_of(int64_t side, int64_t i, int64_t parts) {
  const auto begin_of = [&](int64_t part) { return part == parts ? side : side * part / parts / 16 * 16; };
  return {begin_of(i), begin_of(i + 1) - begin_of(i)};
}

// Sums of a cut depth, which meet at the end in their order.
int64_t partial_count(const Product& k) {
  const Cut cut(k);
  return cut.depth > 1 ? cut.depth * k.m * k.n : 0;
}

void join(const Product& k, const float* partial, int64_t parts) {
  const int64_t count = k.m * k.n;
  const float* bias = k.bias.as<float>();
  dispatch_float(k.c.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* c = k.c.as<T>();
    parallel_ranges(k.m, std::max<int64_t>(1, 16384 / k.n), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        write_range(c + row * k.n, 0, k.n, [=, from = partial + row * k.n](int64_t j) {
          float sum = bias ? bias[j] : 0.0f;
          for (int64_t part = 0; part < parts; ++part) sum += from[part * count + j];
          return sum;
        });
    });
  });
}

// GELU of rows of `columns` numbers from c on, while they are in a core's cache.
void activate(const Product& k, int64_t at, int64_t rows, int64_t columns) {
  dispatch_float(k.c.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* c = k.c.as<T>() + at;
    T* y = k.gelu.as<T>() + at;
    for (int64_t row = 0; row < rows; ++row, c += k.n, y += k.n)
      write_range(y, 0, columns, [c](int64_t j) { return GeluTanh::f(static_cast<Accumulator<T>>(c[j])); });
  });
}

void activate(const Product& k, Stream stream) {
  if (k.gelu) run(Pointwise{{k.c.data, k.c.dtype}, k.gelu, GeluTanh{}, k.batch * k.m * k.n}, stream);
}

void product_in_blocks(const Product& k, float* partial, Stream stream) {
  if (k.batch * k.m * k.n == 0) return;
  const Cut cut(k);
  parallel_pieces(cut.blocks(), [&](int64_t block) {
    const int64_t z = block % cut.depth, x = block / cut.depth % cut.columns,
                  y = block / cut.depth / cut.columns % cut.rows, g = block / cut.depth / cut.columns / cut.rows;
    const auto [row, rows] = part_of(k.m, y, cut.rows);
    const auto [column, columns] = part_of(k.n, x, cut.columns);
    const auto [level, depth] = part_of(k.k, z, cut.depth);
    const int64_t first = k.batch * g / cut.matrices, matrices = k.batch * (g + 1) / cut.matrices - first;
    const int64_t lda = k.transpose_a ? k.m : k.k, ldb = k.transpose_b ? k.k : k.n;
    const int64_t a = first * k.m * k.k + (k.transpose_a ? level * lda + row : row * lda + level);
    const int64_t b = first * k.k * k.n + (k.transpose_b ? column * ldb + level : level * ldb + column);
    const int64_t c = first * k.m * k.n + row * k.n + column;
    onednn::product({.a = k.a.from(a),
                     .b = k.b.from(b),
                     .bias = cut.depth == 1 ? k.bias.from(column) : In{},
                     .c = cut.depth == 1 ? k.c.from(c) : Out{partial + z * k.m * k.n + c, DType::f32},
                     .m = rows,
                     .n = columns,
                     .k = depth,
                     .batch = matrices,
                     .lda = lda,
                     .ldb = ldb,
                     .ldc = k.n,
                     .a_stride = k.m * k.k,
                     .b_stride = k.k * k.n,
                     .transpose_a = k.transpose_a,
                     .transpose_b = k.transpose_b});
    if (k.gelu && cut.depth == 1)
      for (int64_t i = 0; i < matrices; ++i) activate(k, c + i * k.m * k.n, rows, columns);
  });
  if (cut.depth == 1) return;
  join(k, partial, cut.depth);
  activate(k, stream);
}

constexpr int lanes = tile_columns<float> / 2;

// Whether b is better turned than read as the transpose of a (n, k): by oneDNN's products with vectors of 64 bytes,
// which are 5 to 12 % faster then, where rows enough share the cost of turning it.
bool is_turned(const Product& k) {
  return vector_bytes == 64 && k.a.dtype == DType::f32 && k.transpose_b && k.batch == 1 && k.m >= 512 &&
         k.n % lanes == 0;
}

// b as (k, n), and the sums of a cut depth.
struct Turned {
  float *b, *partial;

  Turned(Scratch& scratch, const Product& k)
      : b(scratch.take<float>(k.k * k.n)), partial(scratch.take<float>(partial_count(k))) {}
};

void turned_product(const Product& k, Stream stream) {
  Scratch scratch(stream.scratch);
  const Turned turned(scratch, k);
  const float* from = k.b.as<float>();
  parallel_ranges(k.n / lanes, std::max<int64_t>(1, 65536 / k.k / lanes), [&](int64_t begin, int64_t end) {
    for (int64_t j = begin * lanes; j < end * lanes; j += lanes)
      transpose_rows(from + j * k.k, k.k, k.k, turned.b + j, k.n);
  });
  Product of = k;
  of.b = {turned.b, DType::f32};
  of.transpose_b = false;
  product_in_blocks(of, turned.partial, stream);
}

// The operands of a bf16 product in f32, where the processor multiplies only that, and the sums of a cut depth.
struct Widened {
  int64_t a_count, b_count, c_count;
  float *a, *b, *c = nullptr;  // c only where the result is to be rounded
  float* partial;

  Widened(Scratch& scratch, const Product& k)
      : a_count(k.batch * k.m * k.k),
        b_count(k.batch * k.k * k.n),
        c_count(k.batch * k.m * k.n),
        a(scratch.take<float>(a_count)),
        b(scratch.take<float>(b_count)) {
    if (k.c.dtype == DType::bf16) c = scratch.take<float>(c_count);
    partial = scratch.take<float>(partial_count(k));
  }
};

void widened_product(const Product& k, Stream stream) {
  Scratch scratch(stream.scratch);
  const Widened wide(scratch, k);
  Product of = k;
  of.a = widen(k.a, wide.a_count, wide.a);
  of.b = widen(k.b, wide.b_count, wide.b);
  if (wide.c) of.c = {wide.c, DType::f32};
  of.gelu = {};
  product_in_blocks(of, wide.partial, stream);
  if (wide.c) narrow(wide.c, wide.c_count, k.c);
  activate(k, stream);
}

}  // namespace

int64_t scratch_bytes(const Product& k) {
  if (k.a.dtype == DType::f64) return 0;
  if (is_widened(k.a.dtype)) return bytes_of<Widened>(k);
  return is_turned(k) ? bytes_of<Turned>(k) : partial_count(k) * size_of(DType::f32);
}

void run(const Product& k, Stream stream) {
  if (is_widened(k.a.dtype)) return widened_product(k, stream);
  if (is_turned(k)) return turned_product(k, stream);
  if (k.a.dtype != DType::f64) return product_in_blocks(k, static_cast<float*>(stream.scratch), stream);
  plain_product(k);
  activate(k, stream);
}

}  // namespace gestalt::kernels::cpu
