// Eigenvalues and eigenvectors of symmetric matrices, on the host.
#pragma once

#include <cstdint>
#include <vector>

namespace gestalt {

// Of a symmetric n × n matrix given whole: Householder tridiagonalisation and implicit QL steps.
struct SymmetricEigen {
  std::vector<double> values;   // (n), in no order
  std::vector<double> vectors;  // (n, n): row i is that of values[i], of unit length
};
SymmetricEigen symmetric_eigen(std::vector<double> matrix, int64_t n);
// The same without the vectors, in a fraction of the time.
std::vector<double> symmetric_eigenvalues(std::vector<double> matrix, int64_t n);

}  // namespace gestalt
