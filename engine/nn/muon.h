// Muon: weight matrices move along their momentum made orthogonal.
#pragma once

#include <string>

#include "engine/nn/arena.h"

namespace gestalt {

// Whether Muon is for a part: a matrix, or a filter taken as one (outputs × the rest), of a hidden layer. Embeddings,
// heads and what is left of a decoder's output are not, nor what has one row or column.
bool is_hidden_matrix(const std::string& name, const Shape& shape);

// Jordan et al. 2024. The momentum of each matrix (rows × columns), in Nesterov's form, is brought near to U·Vᵀ of its
// singular value decomposition by five steps of a Newton-Schulz iteration, whose products run in the dtype that the
// arena computes in. An update is 0.2·√max(rows, columns) times that, as large as AdamW's, so that both can share
// learning rate and weight decay (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2).
class Muon {
 public:
  // Takes the arena's hidden matrices; any other optimizer of the arena leaves them alone from now on. Throws Error
  // where there is none.
  Muon(ParameterArena& arena, double momentum, double clip);

  // One update; `moments` is as large as the arena, `squared_norm` that of all gradients.
  void update(const Tensor& moments, const Tensor& squared_norm,
              const kernels::Varying<kernels::UpdateNumbers>& numbers);

 private:
  struct Matrix {
    size_t part;  // of the arena
    int64_t rows, columns;
  };

  Tensor orthogonal(const Tensor& direction, const Matrix& m);

  ParameterArena& arena_;
  float momentum_, clip_;
  DType compute_;
  Tensor squared_norm_;  // (2) f64, of the matrix at hand
  std::vector<Matrix> matrices_;
};

}  // namespace gestalt
