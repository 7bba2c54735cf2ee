// Storing and reading by sample.
#include "engine/nn/bank.h"

#include "kernels/bank.h"

namespace gestalt {

FeatureBank::FeatureBank(int64_t length, int64_t dim) : rows_(Tensor::zeros({length, dim})) {
  check(length >= 1 && dim >= 1, "[bank] got {} rows of width {}, expected 1 or more", length, dim);
}

void FeatureBank::store(const Tensor& rows, const Tensor& samples) {
  check(rows.rank() == 2 && rows.dim(1) == rows_.dim(1) && samples.shape() == Shape{rows.dim(0)} &&
            samples.dtype() == DType::i32,
        "[bank] got rows {} and samples {} {}, expected (N, {}) and i32 (N)", rows.shape().text(),
        name(samples.dtype()), samples.shape().text(), rows_.dim(1));
  kernels::launch(kernels::StoreRows{.rows = rows.in(),
                                     .samples = samples.in(),
                                     .table = rows_.out(),
                                     .count = rows.dim(0),
                                     .length = rows_.dim(0),
                                     .dim = rows_.dim(1)},
                  rows.stream());
}

void FeatureBank::visit(Visitor& v) { v.state("rows", rows_); }

Tensor numbers_of(const Tensor& table, const Tensor& samples, int64_t repeats) {
  check(table.rank() == 1 && samples.rank() == 1 && table.dtype() == DType::i32 && samples.dtype() == DType::i32 &&
            repeats >= 1,
        "[numbers_of] got table {} {}, samples {} {} and {} repeats, expected i32 (L), i32 (N) and 1 or more",
        name(table.dtype()), table.shape().text(), name(samples.dtype()), samples.shape().text(), repeats);
  Tensor y = Tensor::empty({repeats * samples.dim(0)}, DType::i32, samples.device());
  kernels::launch(kernels::ReadNumbers{.table = table.in(),
                                       .samples = samples.in(),
                                       .y = y.out(),
                                       .count = samples.dim(0),
                                       .length = table.dim(0),
                                       .repeats = repeats},
                  samples.stream());
  return y;
}

}  // namespace gestalt
