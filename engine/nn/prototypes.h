// Prototypes: a bank of rows of unit length that embeddings are compared with.
#pragma once

#include "engine/nn/module.h"
#include "engine/tensor/random.h"

namespace gestalt {

// A linear layer without bias whose rows are brought to unit length outside the gradient, as in the authors' code of
// SwAV (Caron et al. 2020): the gradient is not projected, as that of a weight-normalised layer would be.
class Prototypes : public Module {
 public:
  Prototypes() = default;
  Prototypes(int64_t count, int64_t dim, Random& random);

  // Brings the rows, and their shadow in the compute dtype, to unit length in place; call it before the forward pass.
  void bring_to_unit_length();
  Tensor operator()(const Tensor& z) const;  // z (N, dim) → its products with the rows, (N, count)
  void visit(Visitor& v) override { v("weight", weight_); }

 private:
  Tensor weight_;  // (count, dim)
};

// Throws Error, with the cure, where `images` are fewer than 15 to a prototype: assignments would tell single images
// apart.
void check_prototypes(const char* method, int64_t count, int64_t images);

}  // namespace gestalt
