// The collapse meter, in f64 on the host.
#include "tasks/training/spread.h"

#include <algorithm>
#include <cmath>

namespace gestalt {
namespace {

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// y += f · x
void add_scaled(double f, const double* x, double* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += f * x[i];
}

// Reduces a (n, n) to a tridiagonal matrix with the same eigenvalues by Householder reflections from the last row up
// (Golub & Van Loan, Matrix Computations, algorithm 8.3.1). Only the lower triangle is read.
void tridiagonalize(std::vector<double>& a, int64_t n, std::vector<double>& diagonal, std::vector<double>& off) {
  diagonal.resize(n);
  off.assign(n, 0);  // off[i] joins i−1 and i
  std::vector<double> w(n);
  for (int64_t i = n - 1; i >= 1; --i) {
    double* v = a.data() + i * n;  // the row left of the diagonal becomes the reflection's vector
    diagonal[i] = v[i];
    const double squares = dot(v, v, i - 1), last = v[i - 1];
    if (squares == 0) {
      off[i] = last;
      continue;
    }
    const double length = std::copysign(std::sqrt(squares + last * last), last);
    off[i] = -length;
    v[i - 1] = last + length;
    const double scale = 1 / (length * (last + length));  // H = I − scale · v vᵀ
    // w = scale · A v from the lower triangle, each row used for itself and, as a column, for those above it.
    std::fill(w.begin(), w.begin() + i, 0.0);
    for (int64_t r = 0; r < i; ++r) {
      const double* row = a.data() + r * n;
      w[r] += dot(row, v, r) + row[r] * v[r];
      add_scaled(v[r], row, w.data(), r);
    }
    for (int64_t r = 0; r < i; ++r) w[r] *= scale;
    add_scaled(-scale / 2 * dot(w.data(), v, i), v, w.data(), i);
    for (int64_t r = 0; r < i; ++r) {  // A ← H A H = A − v wᵀ − w vᵀ
      double* row = a.data() + r * n;
      const double vr = v[r], wr = w[r];
#pragma omp simd
      for (int64_t c = 0; c <= r; ++c) row[c] -= vr * w[c] + wr * v[c];
    }
  }
  diagonal[0] = a[0];
}

// Implicit QL steps with Wilkinson's shift, eigenvalues only (the same book, section 8.3.3, mirrored).
void diagonalize(std::vector<double>& d, std::vector<double>& off) {
  const int64_t n = static_cast<int64_t>(d.size());
  for (int64_t i = 1; i < n; ++i) off[i - 1] = off[i];
  off[n - 1] = 0;  // now off[i] joins i and i+1
  for (int64_t first = 0; first < n; ++first) {
    for (int step = 0; step < 60; ++step) {
      int64_t m = first;  // the block [first, m] is not yet split
      while (m < n - 1 && std::abs(off[m]) > 1e-16 * (std::abs(d[m]) + std::abs(d[m + 1]))) ++m;
      if (m == first) break;
      const double half = (d[first + 1] - d[first]) / (2 * off[first]);
      const double shift = d[first] - off[first] / (half + std::copysign(std::hypot(half, 1.0), half));
      double g = d[m] - shift, sine = 1, cosine = 1, carried = 0;
      int64_t i = m - 1;
      for (; i >= first; --i) {  // chase the bulge up
        const double f = sine * off[i], b = cosine * off[i], r = std::hypot(f, g);
        off[i + 1] = r;
        if (r == 0) {
          d[i + 1] -= carried;
          off[m] = 0;
          break;
        }
        sine = f / r;
        cosine = g / r;
        const double q = d[i + 1] - carried, t = (d[i] - q) * sine + 2 * cosine * b;
        carried = sine * t;
        d[i + 1] = q + carried;
        g = cosine * t - b;
      }
      if (i >= first) continue;
      d[first] -= carried;
      off[first] = g;
      off[m] = 0;
    }
  }
}

// XᵀX of x (rows, dim), whole.
std::vector<double> gram(const std::vector<double>& x, int64_t rows, int64_t dim) {
  std::vector<double> g(dim * dim, 0.0);
  constexpr int64_t depth = 8;  // rows of x for one pass over g
  std::vector<double> padded(x);
  const int64_t passes = (rows + depth - 1) / depth;
  padded.resize(passes * depth * dim, 0.0);
#pragma omp parallel for schedule(static, 8)
  for (int64_t i = 0; i < dim; ++i) {
    double* out = g.data() + i * dim;
    for (int64_t p = 0; p < passes; ++p) {
      const double* base = padded.data() + p * depth * dim;
#pragma omp simd
      for (int64_t j = 0; j <= i; ++j) {
        double sum = 0;
        for (int64_t r = 0; r < depth; ++r) sum += base[r * dim + i] * base[r * dim + j];
        out[j] += sum;
      }
    }
  }
  return g;
}

double scaled_std(const std::vector<double>& x, int64_t rows, int64_t dim) {
  std::vector<double> sum(dim, 0.0), squares(dim, 0.0);
  for (int64_t i = 0; i < rows; ++i) {
    const double* row = x.data() + i * dim;
    const double norm = std::sqrt(dot(row, row, dim)), inverse = norm > 1e-12 ? 1 / norm : 0;
#pragma omp simd
    for (int64_t d = 0; d < dim; ++d) {
      const double u = row[d] * inverse;
      sum[d] += u;
      squares[d] += u * u;
    }
  }
  double total = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const double mean = sum[d] / rows;
    total += std::sqrt(std::max(0.0, squares[d] / rows - mean * mean));
  }
  return total / dim * std::sqrt(static_cast<double>(dim));
}

double effective_rank(const std::vector<double>& x, int64_t all_rows, int64_t dim, int64_t rank_rows) {
  const int64_t rows = std::min(all_rows, std::max<int64_t>(1, rank_rows));
  const bool wide = dim > rows;  // then X Xᵀ is the smaller matrix, with the same singular values
  const int64_t n = wide ? rows : dim, m = wide ? dim : rows;
  std::vector<double> tall(m * n);  // (m, n)
  for (int64_t i = 0; i < rows; ++i) {
    const double* row = x.data() + i * all_rows / rows * dim;
    for (int64_t d = 0; d < dim; ++d) tall[wide ? d * n + i : i * n + d] = row[d];
  }
  std::vector<double> singular = symmetric_eigenvalues(gram(tall, m, n), n);
  double sum = 0, entropy = 0;
  for (double& s : singular) sum += s = std::sqrt(std::max(0.0, s));
  if (!(sum > 0)) return 1;
  for (double s : singular)
    if (s > 0) entropy -= s / sum * std::log(s / sum);
  return std::exp(entropy);
}

}  // namespace

std::vector<double> symmetric_eigenvalues(std::vector<double> matrix, int64_t n) {
  check(n >= 1 && static_cast<int64_t>(matrix.size()) == n * n,
        "[symmetric_eigenvalues] got {} elements, expected {} × {}", matrix.size(), n, n);
  std::vector<double> diagonal, off;
  tridiagonalize(matrix, n, diagonal, off);
  diagonalize(diagonal, off);
  return diagonal;
}

Spread spread(const Tensor& features, int64_t rank_rows) {
  check(features.rank() == 2 && features.dim(0) >= 1 && features.dim(1) >= 1,
        "[spread] got features {}, expected (N, D)", features.shape().text());
  const std::vector<double> x = features.values64();
  return {scaled_std(x, features.dim(0), features.dim(1)),
          effective_rank(x, features.dim(0), features.dim(1), rank_rows)};
}

}  // namespace gestalt
