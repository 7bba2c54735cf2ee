// What is known of each sample of a data set: the last row that a network gave for it, the cluster that it is in.
#pragma once

#include "engine/nn/module.h"

namespace gestalt {

// A row for each sample, a state: a checkpoint holds it, and a captured step writes it.
class FeatureBank : public Module {
 public:
  FeatureBank() = default;
  FeatureBank(int64_t length, int64_t dim);  // of zeros

  // Row i of (N, dim) becomes that of samples[i], i32 (N) in [0, length); of a sample that is named twice the last
  // stays. Throws Error for what has another shape, and on the CPU for a sample out of range; on CUDA that one stores
  // nothing.
  void store(const Tensor& rows, const Tensor& samples);
  const Tensor& rows() const { return rows_; }  // (length, dim) f32
  void visit(Visitor& v) override;

 private:
  Tensor rows_;
};

// table i32 (length), samples i32 (N) in [0, length) → (repeats · N) i32: the samples' numbers, over and over, as the
// views of a batch lie. On CUDA a sample out of range has −1, elsewhere it throws.
Tensor numbers_of(const Tensor& table, const Tensor& samples, int64_t repeats = 1);

}  // namespace gestalt
