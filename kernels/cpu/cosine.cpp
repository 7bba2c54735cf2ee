// BYOL's loss on the CPU.
#include "kernels/cosine.h"

#include <cmath>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t grain = 8192;  // elements below which a second thread costs more than it brings

int64_t row_grain(int64_t dim) { return std::max<int64_t>(1, grain / std::max<int64_t>(1, dim)); }

// d/da of −cosine(a, b), times `factor`.
template <class T, class S>
void gradient_row(const T* a, const T* b, S inv_a, S inv_b, S cosine, S factor, T* da, int64_t dim) {
  const S outer = -factor * inv_a;
#pragma omp simd
  for (int64_t d = 0; d < dim; ++d)
    store(&da[d], outer * (static_cast<S>(b[d]) * inv_b - cosine * (static_cast<S>(a[d]) * inv_a)));
}

}  // namespace

void run(const CosineLoss& k, Stream) {
  dispatch_float(k.p.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *p = k.p.as<T>(), *z = k.z.as<T>();
    S *cosine = k.cosine.as<S>(), *inv_p = k.inv_norm_p.as<S>(), *inv_z = k.inv_norm_z.as<S>();
    parallel_ranges(k.rows, row_grain(k.dim), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        double pp = 0, zz = 0, pz = 0;
#pragma omp simd reduction(+ : pp, zz, pz)
        for (int64_t d = 0; d < k.dim; ++d) {
          const double a = p[i * k.dim + d], b = z[i * k.dim + d];
          pp += a * a;
          zz += b * b;
          pz += a * b;
        }
        const double inverse_p = pp > 1e-24 ? 1 / std::sqrt(pp) : 0, inverse_z = zz > 1e-24 ? 1 / std::sqrt(zz) : 0;
        inv_p[i] = static_cast<S>(inverse_p);
        inv_z[i] = static_cast<S>(inverse_z);
        cosine[i] = static_cast<S>(pz * inverse_p * inverse_z);
      }
    });
    double sum = 0;
    for (int64_t i = 0; i < k.rows; ++i) sum += static_cast<double>(cosine[i]);
    k.loss.as<S>()[0] = static_cast<S>(2 - 2 * sum / static_cast<double>(k.rows));
  });
}

void run(const CosineLossBackward& k, Stream) {
  dispatch_float(k.p.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *p = k.p.as<T>(), *z = k.z.as<T>();
    const S *cosine = k.cosine.as<S>(), *inv_p = k.inv_norm_p.as<S>(), *inv_z = k.inv_norm_z.as<S>();
    const S factor = static_cast<S>(2 * k.dy.as<S>()[0] / static_cast<double>(k.rows));
    T *dp = k.dp.as<T>(), *dz = k.dz.as<T>();
    parallel_ranges(k.rows, row_grain(k.dim), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = i * k.dim;
        if (dp) gradient_row(p + at, z + at, inv_p[i], inv_z[i], cosine[i], factor, dp + at, k.dim);
        if (dz) gradient_row(z + at, p + at, inv_z[i], inv_p[i], cosine[i], factor, dz + at, k.dim);
      }
    });
  });
}

}  // namespace gestalt::kernels::cpu
