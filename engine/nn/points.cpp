// Copying rows to the host, placing them, and multiplying them by blocks.
#include "engine/nn/points.h"

#include <cmath>

#include "kernels/product.h"

namespace gestalt {
namespace {

using kernels::cpu::parallel_ranges;

std::vector<double> mean_row(const Tensor& x) {
  const int64_t rows = x.dim(0), dim = x.dim(1);
  std::vector<std::vector<double>> sums((rows + sum_rows - 1) / sum_rows);
  const float* values = x.data<float>();
  for_each_part(rows, [&](int64_t begin, int64_t end, int64_t part) {
    std::vector<double>& sum = sums[part];
    sum.assign(dim, 0.0);
    for (int64_t i = begin; i < end; ++i)
      for (int64_t d = 0; d < dim; ++d) sum[d] += values[i * dim + d];
  });
  std::vector<double> mean(dim, 0.0);
  for (const std::vector<double>& sum : sums)
    for (int64_t d = 0; d < dim; ++d) mean[d] += sum[d] / static_cast<double>(rows);
  return mean;
}

}  // namespace

double squared_distance(const float* a, const float* b, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t d = 0; d < count; ++d) {
    const double difference = double{a[d]} - (b ? double{b[d]} : 0);
    sum += difference * difference;
  }
  return sum;
}

void to_unit_length(float* row, int64_t dim) {
  const double norm = std::sqrt(squared_distance(row, nullptr, dim));
  const double inverse = norm > 1e-12 ? 1 / norm : 0;
  for (int64_t d = 0; d < dim; ++d) row[d] = static_cast<float>(row[d] * inverse);
}

Points::Points(const char* op, const Tensor& given, bool spherical)
    : x(given.to(Device::cpu).to(DType::f32).clone()), rows(x.dim(0)), dim(x.dim(1)), spherical(spherical) {
  squares.resize(rows);
  if (!spherical) mean = mean_row(x);
  place(x);
  const double total =
      ordered_sum(rows, [&](int64_t i) { return squares[i] = squared_distance(row(i), nullptr, dim); });
  check(std::isfinite(total), "[{}] got NaN or an infinity among the rows", op);
  double squared_mean = 0;
  for (double m : mean_row(x)) squared_mean += m * m;
  variance = (total / static_cast<double>(rows) - squared_mean) / static_cast<double>(dim);
}

void Points::place(Tensor& given) const {
  float* values = given.data<float>();
  parallel_ranges(given.dim(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = values + i * dim;
      if (spherical)
        to_unit_length(row, dim);
      else
        for (int64_t d = 0; d < dim; ++d) row[d] = static_cast<float>(row[d] - mean[d]);
    }
  });
}

void Points::place_back(Tensor& placed) const {
  if (spherical) return;
  float* values = placed.data<float>();
  for (int64_t i = 0; i < placed.dim(0); ++i)
    for (int64_t d = 0; d < dim; ++d) values[i * dim + d] = static_cast<float>(values[i * dim + d] + mean[d]);
}

void Points::for_each_block(const Tensor& others, const Tensor& bias,
                            const std::function<void(int64_t, const Tensor&)>& f) const {
  constexpr int64_t most_products = int64_t{1} << 19;  // 2 MiB
  const int64_t columns = others.dim(0), block = std::min(rows, std::max<int64_t>(64, most_products / columns));
  for (int64_t first = 0; first < rows; first += block) {
    const int64_t count = std::min(block, rows - first);
    Tensor products = Tensor::empty({count, columns});
    kernels::launch(kernels::Product{.a = x.slice(first, first + count).in(),
                                     .b = others.in(),
                                     .bias = bias.in(),
                                     .c = products.out(),
                                     .m = count,
                                     .n = columns,
                                     .k = dim,
                                     .transpose_b = true},
                    products.stream());
    f(first, products);
  }
}

}  // namespace gestalt
