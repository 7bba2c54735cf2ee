// Batch normalisation over the rows of a (rows, channels) matrix, fused with a residual addition and ReLU.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// How the reductions over rows are split. The split depends on the sizes only, so results do not depend on threads.
// Where there are few channels, `fold` rows are read as one wide row, so that loops over channels stay long.
struct BatchNormSplit {
  int64_t rows, channels;

  int64_t fold() const { return channels >= 256 || channels == 0 ? 1 : 256 / channels; }
  int64_t width() const { return channels * fold(); }
  int64_t wide_rows() const { return (rows + fold() - 1) / fold(); }  // the last may be partly filled
  int64_t chunk() const {                                             // wide rows summed without a join
    const int64_t even = (wide_rows() + 63) / 64;
    return even < 32 ? 32 : (even > 512 ? 512 : even);
  }
  int64_t chunks() const { return (wide_rows() + chunk() - 1) / chunk(); }
  // CUDA: parts that are summed apart, enough to fill any device, each of 16,384 elements or more.
  int64_t device_splits() const {
    const int64_t most = channels > 256 ? (1 << 18) / channels : 1024, even = rows * channels / 16384;
    return even < 1 || most < 1 ? 1 : (even > most ? most : even);
  }
  // Of two sums for each column of each part, in the accumulator of `dtype`.
  int64_t partial_bytes(DType dtype, Device device) const {
    const int64_t columns = device == Device::cpu ? chunks() * width() : device_splits() * channels;
    return 2 * columns * size_of(accumulator_of(dtype));
  }
};

// y = relu(gamma · (x − mean) · inv_std + beta + residual); Ioffe and Szegedy 2015.
// Training: mean and biased variance of the batch; running statistics move by `momentum` towards the mean and the
// unbiased variance. Evaluation: mean and variance are the running ones, which are only read.
struct BatchNorm {
  In x;                           // (rows, channels)
  In residual;                    // like x, or null
  In gamma, beta;                 // (channels), the accumulator's dtype, as are all statistics
  Out running_mean, running_var;  // (channels)
  Out y;                          // like x
  Out mean, inv_std;              // (channels), what backward needs
  int64_t rows, channels;
  double eps, momentum;
  bool relu, training;
};
GESTALT_KERNEL(BatchNorm)
// In training the statistics need all of x before any of it can be normalised.
inline Cost cost(const BatchNorm& k) {
  const int64_t n = k.rows * k.channels;
  return {.bytes = traffic(n, k.x, k.residual, k.y) + (k.training ? traffic(n, k.x) : 0),
          .shape = fmt::format("{} × {}{}{}", k.rows, k.channels, k.relu ? ", ReLU" : "", k.residual ? ", sum" : "")};
}
inline int64_t scratch_bytes(const BatchNorm& k, Device device) {
  return k.training ? BatchNormSplit{k.rows, k.channels}.partial_bytes(k.x.dtype, device) : 0;
}

// Gradients of BatchNorm. x̂ is recomputed from x, mean and inv_std. The ReLU's mask is y > 0, and y too is computed
// anew where there was no residual.
struct BatchNormBackward {
  In x, dy;
  In y;  // the forward result where there were ReLU and residual, else null
  In gamma, beta, mean, inv_std;
  Out dx;             // or null
  Out dresidual;      // dy under the mask, or null
  Out dgamma, dbeta;  // (channels)
  int64_t rows, channels;
  bool relu, training;
};
GESTALT_KERNEL(BatchNormBackward)
inline Cost cost(const BatchNormBackward& k) {
  const int64_t n = k.rows * k.channels;
  return {.bytes = (k.training ? 2 : 1) * traffic(n, k.x, k.dy, k.y) + traffic(n, k.dx, k.dresidual),
          .shape = fmt::format("{} × {}{}{}", k.rows, k.channels, k.relu ? ", ReLU" : "", k.dresidual ? ", sum" : "")};
}
inline int64_t scratch_bytes(const BatchNormBackward& k, Device device) {
  return BatchNormSplit{k.rows, k.channels}.partial_bytes(k.x.dtype, device);
}

}  // namespace gestalt::kernels
