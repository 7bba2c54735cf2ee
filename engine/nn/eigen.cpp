// Householder tridiagonalisation and QL steps in f64.
#include "engine/nn/eigen.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/cpu/vectors.h"

namespace gestalt {
namespace {

using kernels::cpu::add_scaled;
using kernels::cpu::dot;

// Reduces a (n, n) to a tridiagonal matrix with the same eigenvalues by Householder reflections from the last row up
// (Golub & Van Loan, Matrix Computations, algorithm 8.3.1). Only the lower triangle is read. Row i then begins with the
// i numbers of reflection i's vector, whose H = I − scales[i] · v vᵀ.
void tridiagonalize(std::vector<double>& a, int64_t n, std::vector<double>& diagonal, std::vector<double>& off,
                    std::vector<double>& scales) {
  diagonal.resize(n);
  off.assign(n, 0);  // off[i] joins i−1 and i
  scales.assign(n, 0);
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
    const double scale = scales[i] = 1 / (length * (last + length));
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

// The product of the reflections, transposed: its rows are what the tridiagonal matrix's coordinates stand for.
std::vector<double> reflections(const std::vector<double>& a, int64_t n, const std::vector<double>& scales) {
  std::vector<double> q(n * n, 0.0), u(n);
  for (int64_t i = 0; i < n; ++i) q[i * n + i] = 1;
  for (int64_t i = n - 1; i >= 1; --i) {
    const double* v = a.data() + i * n;
    std::fill(u.begin(), u.end(), 0.0);
    for (int64_t r = 0; r < i; ++r) add_scaled(v[r], q.data() + r * n, u.data(), n);
    for (int64_t r = 0; r < i; ++r) add_scaled(-scales[i] * v[r], u.data(), q.data() + r * n, n);
  }
  return q;
}

// Turns rows a and b of n numbers: (a, b) ← (cosine · a − sine · b, sine · a + cosine · b).
void turn(double* a, double* b, int64_t n, double cosine, double sine) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const double x = a[i], y = b[i];
    a[i] = cosine * x - sine * y;
    b[i] = sine * x + cosine * y;
  }
}

// Implicit QL steps with Wilkinson's shift (the same book, section 8.3.3, mirrored). `vectors` (n, n), where given, has
// its rows turned along.
void diagonalize(std::vector<double>& d, std::vector<double>& off, double* vectors) {
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
        if (vectors) turn(vectors + i * n, vectors + (i + 1) * n, n, cosine, sine);
      }
      if (i >= first) continue;
      d[first] -= carried;
      off[first] = g;
      off[m] = 0;
    }
  }
}

void check_matrix(const std::vector<double>& matrix, int64_t n) {
  check(n >= 1 && static_cast<int64_t>(matrix.size()) == n * n, "[symmetric_eigen] got {} elements, expected {} × {}",
        matrix.size(), n, n);
}

}  // namespace

SymmetricEigen symmetric_eigen(std::vector<double> matrix, int64_t n) {
  check_matrix(matrix, n);
  SymmetricEigen result;
  std::vector<double> off, scales;
  tridiagonalize(matrix, n, result.values, off, scales);
  result.vectors = reflections(matrix, n, scales);
  diagonalize(result.values, off, result.vectors.data());
  return result;
}

std::vector<double> symmetric_eigenvalues(std::vector<double> matrix, int64_t n) {
  check_matrix(matrix, n);
  std::vector<double> diagonal, off, scales;
  tridiagonalize(matrix, n, diagonal, off, scales);
  diagonalize(diagonal, off, nullptr);
  return diagonal;
}

}  // namespace gestalt
