// Kernels that move rows: gathers, scatters and strided copies of tokens.
//
// An index out of range is refused on the CPU. On CUDA, where a kernel cannot refuse, it gathers NaN and scatters
// nothing.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// Where rows are picked: index (batch, picked) holds positions in [0, length) of each batch element.
struct TokenPick {
  int64_t batch, length, picked, columns;
};

// y[b, k] = x[b, index[b, k]], converted to y's dtype. An embedding is the case batch = 1.
struct GatherRows {
  In x;      // (batch, length, columns)
  In index;  // i32
  Out y;     // (batch, picked, columns)
  TokenPick pick;
};
GESTALT_KERNEL(GatherRows)
inline Cost cost(const GatherRows& k) {
  return {.bytes = traffic(k.pick.batch * k.pick.picked * k.pick.columns, k.x, k.y)};
}

// y = 0, then y[b, index[b, k]] += x[b, k] in the order of k: the gradient of GatherRows. Sums are held in y's dtype,
// on CUDA in f32.
struct ScatterRows {
  In x, index;
  Out y;  // (batch, length, columns)
  TokenPick pick;
};
GESTALT_KERNEL(ScatterRows)
inline Cost cost(const ScatterRows& k) {
  return {.bytes = traffic(k.pick.batch * k.pick.picked * k.pick.columns, k.x) +
                   traffic(k.pick.batch * k.pick.length * k.pick.columns, k.y)};
}

// CUDA: the picks of a scatter sorted by the row of y that they go to. Rows with many picks are listed apart.
struct ScatterSort {
  static constexpr int many = 16;
  int32_t *count, *end;       // (batch · length): picks of each row, and where they end in `order`
  int32_t *unsorted, *order;  // (batch · picked)
  int32_t* crowded;           // rows with more than `many` picks, at most batch · picked / many
  int32_t* used;              // (2) entries of `order`, and of `crowded`, in use
  int64_t rows, picks;

  ScatterSort(Scratch& memory, const TokenPick& p) : rows(p.batch * p.length), picks(p.batch * p.picked) {
    count = memory.take<int32_t>(rows), end = memory.take<int32_t>(rows);
    unsorted = memory.take<int32_t>(picks), order = memory.take<int32_t>(picks);
    crowded = memory.take<int32_t>(picks / many), used = memory.take<int32_t>(2);
  }
};
inline int64_t scratch_bytes(const ScatterRows& k, Device device) {
  return device == Device::cuda ? bytes_of<ScatterSort>(k.pick) : 0;
}

// y[b, index[b, k]] = x[b, k]; every other row is `fill`. A batch element's indices are distinct.
struct FillRows {
  In x, index;
  In fill;  // (columns), the accumulator's dtype
  Out y;    // (batch, length, columns)
  TokenPick pick;
};
GESTALT_KERNEL(FillRows)
inline Cost cost(const FillRows& k) {
  return {.bytes = traffic(k.pick.batch * k.pick.picked * k.pick.columns, k.x) +
                   traffic(k.pick.batch * k.pick.length * k.pick.columns, k.y)};
}

// How many ranges of rows FillRowsBackward sums apart on CUDA.
inline int64_t fill_rows_parts(const TokenPick& p) {
  const int64_t even = p.batch * p.length / 64;
  return even < 1 ? 1 : (even > 256 ? 256 : even);
}

// dfill of FillRows: the sum of dy over the rows that index does not name.
struct FillRowsBackward {
  In dy, index;
  Out dfill;  // (columns), the accumulator's dtype
  TokenPick pick;
};
GESTALT_KERNEL(FillRowsBackward)
inline Cost cost(const FillRowsBackward& k) {
  return {.bytes = traffic(k.pick.batch * (k.pick.length - k.pick.picked) * k.pick.columns, k.dy)};
}
// CUDA: the sum of each part.
inline int64_t scratch_bytes(const FillRowsBackward& k, Device device) {
  return device == Device::cuda ? fill_rows_parts(k.pick) * k.pick.columns * size_of(DType::f32) : 0;
}

// y[i] = fill, or zeros without one, in the rows where mask[i] is `replaced`; x[i], converted to y's dtype, in the
// others.
struct ReplaceRows {
  In x;     // (rows, columns)
  In mask;  // i32 (rows), 0 or 1
  In fill;  // (columns), the accumulator's dtype, or absent
  Out y;    // (rows, columns)
  int64_t rows, columns;
  int32_t replaced;
};
GESTALT_KERNEL(ReplaceRows)
inline Cost cost(const ReplaceRows& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.y)}; }

// y[b, j] = x[b, j] for blocks of `count` contiguous elements whose starts lie x_stride and y_stride elements apart;
// x_stride 0 repeats one block. Converts to y's dtype.
struct CopyBlocks {
  In x;
  Out y;
  int64_t batch, count, x_stride, y_stride;
  int64_t x_offset, y_offset;  // of the first block
};
GESTALT_KERNEL(CopyBlocks)
inline Cost cost(const CopyBlocks& k) { return {.bytes = traffic(k.batch * k.count, k.x, k.y)}; }

}  // namespace gestalt::kernels
