// Token ops with their gradients.
#include "engine/ops/tokens.h"

#include "engine/tensor/autograd.h"
#include "kernels/elementwise.h"
#include "kernels/tokens.h"

namespace gestalt {
namespace {

using kernels::TokenPick;

Tensor gathered(const Tensor& x, const Tensor& index, const Shape& shape, DType dtype, const TokenPick& pick) {
  Tensor y = Tensor::empty(shape, dtype, x.device());
  kernels::launch(kernels::GatherRows{x.in(), index.in(), y.out(), pick}, x.stream());
  return y;
}

Tensor scattered(const Tensor& x, const Tensor& index, Tensor y, const TokenPick& pick) {
  kernels::launch(kernels::ScatterRows{x.in(), index.in(), y.out(), pick}, x.stream());
  return y;
}

// Copies `batch` blocks of `count` elements between tensors, see CopyBlocks.
void copy_blocks(const Tensor& x, Tensor& y, int64_t batch, int64_t count, int64_t x_stride, int64_t x_offset,
                 int64_t y_stride, int64_t y_offset) {
  kernels::launch(kernels::CopyBlocks{.x = x.in(),
                                      .y = y.out(),
                                      .batch = batch,
                                      .count = count,
                                      .x_stride = x_stride,
                                      .y_stride = y_stride,
                                      .x_offset = x_offset,
                                      .y_offset = y_offset},
                  x.stream());
}

void check_index(const char* op, const Tensor& x, const Tensor& index) {
  check(x.rank() == 3 && index.rank() == 2 && index.dim(0) == x.dim(0) && index.dtype() == DType::i32,
        "[{}] got x {} and index {} {}, expected (B, T, D) and i32 (B, K)", op, x.shape().text(), name(index.dtype()),
        index.shape().text());
}

void check_token(const char* op, const Tensor& x, const Tensor& token) {
  check(token.shape() == Shape{x.dim(-1)} && token.dtype() == accumulator_of(x.dtype()),
        "[{}] got a token {} {}, expected {} ({})", op, name(token.dtype()), token.shape().text(),
        name(accumulator_of(x.dtype())), x.dim(-1));
}

}  // namespace

Tensor embedding(const Tensor& table, const Tensor& indices, DType dtype) {
  check(table.rank() == 2 && indices.dtype() == DType::i32 && indices.rank() < Shape::max_rank,
        "[embedding] got table {} and indices {} {}, expected (V, D) and i32", table.shape().text(),
        name(indices.dtype()), indices.shape().text());
  std::vector<int64_t> extents(indices.shape().begin(), indices.shape().end());
  extents.push_back(table.dim(1));
  const TokenPick pick{1, table.dim(0), indices.count(), table.dim(1)};
  return record("embedding", gathered(table, indices, Shape(extents), dtype, pick), {table},
                [indices, pick, table](const Tensor& dy) -> Grads {
                  return {scattered(dy, indices, gradient_memory(table), pick)};
                });
}

Tensor embedding(const Tensor& table, const Tensor& indices) { return embedding(table, indices, table.dtype()); }

Tensor counts_of(const Tensor& indices, int64_t length) {
  check(indices.dtype() == DType::i32 && length >= 1,
        "[counts_of] got indices {} and length {}, expected i32, and 1 or more", name(indices.dtype()), length);
  const Tensor ones = Tensor::full({indices.count(), 1}, 1, DType::f32, indices.device());
  return scattered(ones, indices, Tensor::empty({length}, DType::f32, indices.device()),
                   TokenPick{1, length, indices.count(), 1});
}

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  check_index("gather_rows", x, index);
  const TokenPick pick{x.dim(0), x.dim(1), index.dim(1), x.dim(2)};
  const Shape shape = x.shape().with(1, pick.picked);
  return record("gather_rows", gathered(x, index, shape, x.dtype(), pick), {x},
                [index, pick, shape = x.shape()](const Tensor& dy) -> Grads {
                  return {scattered(dy, index, Tensor::empty(shape, dy.dtype(), dy.device()), pick)};
                });
}

Tensor scatter_tokens(const Tensor& visible, const Tensor& index, const Tensor& mask_token, int64_t length) {
  check_index("scatter_tokens", visible, index);
  check_token("scatter_tokens", visible, mask_token);
  check(index.dim(1) == visible.dim(1) && visible.dim(1) <= length,
        "[scatter_tokens] got visible {} and index {} for {} positions, expected K equal and at most that",
        visible.shape().text(), index.shape().text(), length);
  const TokenPick pick{visible.dim(0), length, visible.dim(1), visible.dim(2)};
  Tensor y = Tensor::empty(visible.shape().with(1, length), visible.dtype(), visible.device());
  kernels::launch(kernels::FillRows{visible.in(), index.in(), mask_token.in(), y.out(), pick}, visible.stream());
  return record("scatter_tokens", y, {visible, mask_token},
                [index, pick, shape = visible.shape()](const Tensor& dy) -> Grads {
                  Tensor dtoken = Tensor::empty({pick.columns}, accumulator_of(dy.dtype()), dy.device());
                  kernels::launch(kernels::FillRowsBackward{dy.in(), index.in(), dtoken.out(), pick}, dy.stream());
                  return {gathered(dy, index, shape, dy.dtype(), pick), dtoken};
                });
}

namespace {

// The rows of x (…, D) where the mask is not `replaced`; the others are `fill`, or zeros.
Tensor replaced_rows(const Tensor& x, const Tensor& mask, const Tensor& fill, int32_t replaced, DType dtype) {
  Tensor y = Tensor::empty(x.shape(), dtype, x.device());
  kernels::launch(kernels::ReplaceRows{.x = x.in(),
                                       .mask = mask.in(),
                                       .fill = fill.in(),
                                       .y = y.out(),
                                       .rows = mask.count(),
                                       .columns = x.dim(-1),
                                       .replaced = replaced},
                  x.stream());
  return y;
}

}  // namespace

Tensor replace_tokens(const Tensor& x, const Tensor& mask, const Tensor& token) {
  check(x.rank() == 3 && mask.shape() == Shape{x.dim(0), x.dim(1)} && mask.dtype() == DType::i32,
        "[replace_tokens] got x {} and mask {} {}, expected (B, T, D) and i32 (B, T)", x.shape().text(),
        name(mask.dtype()), mask.shape().text());
  check_token("replace_tokens", x, token);
  return record(
      "replace_tokens", replaced_rows(x, mask, token.detach(), 1, x.dtype()), {x, token},
      [mask](const Tensor& dy) -> Grads {
        const DType accumulator = accumulator_of(dy.dtype());
        const Tensor of_token = replaced_rows(dy, mask, {}, 0, accumulator);
        Tensor dtoken = Tensor::empty({dy.dim(2)}, accumulator, dy.device());
        kernels::launch(kernels::ColumnSum{of_token.in(), dtoken.out(), mask.count(), dy.dim(2)}, dy.stream());
        return {replaced_rows(dy, mask, {}, 1, dy.dtype()), dtoken};
      });
}

Tensor concat(const Tensor& a, const Tensor& b) {
  const bool match =
      a.rank() >= 1 && a.rank() == b.rank() && a.dtype() == b.dtype() && a.shape().with(0, 0) == b.shape().with(0, 0);
  check(match, "[concat] got {} {} and {} {}, expected equal dtypes and shapes but for the leading dimension",
        name(a.dtype()), a.shape().text(), name(b.dtype()), b.shape().text());
  const int64_t rows = a.dim(0), all = rows + b.dim(0);
  Tensor y = Tensor::empty(a.shape().with(0, all), a.dtype(), a.device());
  y.slice(0, rows).copy_from(a);
  y.slice(rows, all).copy_from(b);
  return record("concat", y, {a, b}, [rows, all](const Tensor& dy) -> Grads {
    return {dy.slice(0, rows), dy.slice(rows, all)};
  });
}

Tensor prepend_token(const Tensor& x, const Tensor& token) {
  check(x.rank() == 3, "[prepend_token] got x {}, expected (B, T, D)", x.shape().text());
  check_token("prepend_token", x, token);
  const int64_t batch = x.dim(0), columns = x.dim(2), block = x.dim(1) * columns, wide = block + columns;
  Tensor y = Tensor::empty(x.shape().with(1, x.dim(1) + 1), x.dtype(), x.device());
  copy_blocks(token, y, batch, columns, 0, 0, wide, 0);
  copy_blocks(x, y, batch, block, block, 0, wide, columns);
  return record("prepend_token", y, {x, token},
                [shape = x.shape(), batch, columns, block, wide](const Tensor& dy) -> Grads {
                  const DType accumulator = accumulator_of(dy.dtype());
                  Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
                  Tensor first = Tensor::empty({batch, columns}, accumulator, dy.device());
                  Tensor dtoken = Tensor::empty({columns}, accumulator, dy.device());
                  copy_blocks(dy, dx, batch, block, wide, columns, block, 0);
                  copy_blocks(dy, first, batch, columns, wide, 0, columns, 0);
                  kernels::launch(kernels::ColumnSum{first.in(), dtoken.out(), batch, columns}, dy.stream());
                  return {dx, dtoken};
                });
}

Tensor slice_tokens(const Tensor& x, int64_t begin, int64_t end) {
  check(x.rank() == 3 && 0 <= begin && begin <= end && end <= x.dim(1),
        "[slice_tokens] got tokens {} to {} of x {}, expected a range within (B, T, D)", begin, end, x.shape().text());
  const int64_t batch = x.dim(0), columns = x.dim(2), wide = x.dim(1) * columns, block = (end - begin) * columns;
  Tensor y = Tensor::empty(x.shape().with(1, end - begin), x.dtype(), x.device());
  copy_blocks(x, y, batch, block, wide, begin * columns, block, 0);
  return record("slice_tokens", y, {x}, [=, shape = x.shape()](const Tensor& dy) -> Grads {
    Tensor dx = Tensor::zeros(shape, dy.dtype(), dy.device());
    copy_blocks(dy, dx, batch, block, block, 0, wide, begin * columns);
    return {dx};
  });
}

}  // namespace gestalt
