// Whitening by the eigenvectors of the covariance: products in f32, sums over blocks in f64.
#include "engine/nn/pca.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/nn/eigen.h"
#include "engine/nn/points.h"
#include "kernels/product.h"

namespace gestalt {
namespace {

// XᵀX / N of centred rows.
std::vector<double> covariance(const Points& points) {
  constexpr int64_t block = 2048;
  const int64_t dim = points.dim;
  std::vector<double> sum(dim * dim, 0.0);
  Tensor part = Tensor::empty({dim, dim});
  for (int64_t first = 0; first < points.rows; first += block) {
    const Tensor x = points.x.slice(first, std::min(points.rows, first + block));
    kernels::launch(kernels::Product{.a = x.in(),
                                     .b = x.in(),
                                     .bias = {},
                                     .c = part.out(),
                                     .m = dim,
                                     .n = dim,
                                     .k = x.dim(0),
                                     .transpose_a = true},
                    part.stream());
    const float* products = part.data<float>();
    for (int64_t i = 0; i < dim * dim; ++i) sum[i] += products[i] / static_cast<double>(points.rows);
  }
  return sum;
}

}  // namespace

Tensor pca_whiten(const Tensor& rows, int64_t columns) {
  check(rows.rank() == 2 && columns >= 1 && columns <= std::min(rows.dim(0), rows.dim(1)),
        "[pca_whiten] got rows {} and {} columns, expected (N, D) and 1 to min(N, D)", rows.shape().text(), columns);
  const Points points("whiten", rows, false);
  const int64_t dim = points.dim;
  const SymmetricEigen eigen = symmetric_eigen(covariance(points), dim);
  std::vector<int64_t> order(dim);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return eigen.values[a] > eigen.values[b]; });
  Tensor directions = Tensor::empty({columns, dim}), white = Tensor::empty({points.rows, columns});
  for (int64_t c = 0; c < columns; ++c) {
    const double variance = eigen.values[order[c]], *vector = eigen.vectors.data() + order[c] * dim;
    const double largest =
        *std::max_element(vector, vector + dim, [](double a, double b) { return std::abs(a) < std::abs(b); });
    double scale = variance > 1e-10 * eigen.values[order[0]] ? 1 / std::sqrt(variance) : 0;
    if (largest < 0) scale = -scale;
    for (int64_t d = 0; d < dim; ++d) directions.data<float>()[c * dim + d] = static_cast<float>(scale * vector[d]);
  }
  points.for_each_block(directions, {}, [&](int64_t first, const Tensor& products) {
    white.slice(first, first + products.dim(0)).copy_from(products);
  });
  return white;
}

}  // namespace gestalt
