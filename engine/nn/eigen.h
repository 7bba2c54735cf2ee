// Eigenvalues and eigenvectors of symmetric matrices, on the host.
#pragma once

#include <cstdint>
#include <vector>

namespace gestalt {

// Of a symmetric n × n matrix given whole, by one thread: the same bits however many there are. Throws Error where it
// is not n × n, or not finite.
struct SymmetricEigen {
  std::vector<double> values;   // (n), the smallest first
  std::vector<double> vectors;  // (n, n): row i is that of values[i], of unit length
};
SymmetricEigen symmetric_eigen(const std::vector<double>& matrix, int64_t n);
// The same without the vectors, in a fraction of the time.
std::vector<double> symmetric_eigenvalues(const std::vector<double>& matrix, int64_t n);

}  // namespace gestalt
