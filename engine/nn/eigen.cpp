// Eigenvalues and eigenvectors through Eigen.
#include "engine/nn/eigen.h"

#include "kernels/check.h"

#define EIGEN_DONT_PARALLELIZE  // results are the same on any number of threads
#include <Eigen/Eigenvalues>

namespace gestalt {
namespace {

using Solver = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>;

Solver solve(const std::vector<double>& matrix, int64_t n, int options) {
  check(n >= 1 && static_cast<int64_t>(matrix.size()) == n * n, "[symmetric_eigen] got {} elements, expected {} × {}",
        matrix.size(), n, n);
  Solver solver(Eigen::Map<const Eigen::MatrixXd>(matrix.data(), n, n), options);
  check(solver.info() == Eigen::Success, "[symmetric_eigen] a {0} × {0} matrix does not converge; is it finite?", n);
  return solver;
}

}  // namespace

SymmetricEigen symmetric_eigen(const std::vector<double>& matrix, int64_t n) {
  const Solver solver = solve(matrix, n, Eigen::ComputeEigenvectors);
  const double *values = solver.eigenvalues().data(), *columns = solver.eigenvectors().data();
  return {{values, values + n}, {columns, columns + n * n}};  // columns of a column-major matrix: our rows
}

std::vector<double> symmetric_eigenvalues(const std::vector<double>& matrix, int64_t n) {
  const Solver solver = solve(matrix, n, Eigen::EigenvaluesOnly);
  return {solver.eigenvalues().data(), solver.eigenvalues().data() + n};
}

}  // namespace gestalt
