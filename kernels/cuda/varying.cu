// Setting numbers on CUDA: they are the launch's arguments.
#include "kernels/varying.h"

#include "kernels/cuda/launch.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int most_bytes = sizeof(SetVarying::words);

__global__ void __launch_bounds__(most_bytes) set_kernel(const __grid_constant__ SetVarying k, uint8_t* y) {
  const int i = threadIdx.x;
  if (i < k.bytes) y[i] = static_cast<uint8_t>(k.words[i / 8] >> i % 8 * 8);
}

}  // namespace

void run(const SetVarying& k, Stream stream) {
  check(k.bytes >= 0 && k.bytes <= most_bytes, "[set_varying] got {} bytes, expected at most {}", k.bytes, most_bytes);
  launch_kernel(set_kernel, 1, most_bytes, 0, stream, k, k.y.as<uint8_t>());
}

}  // namespace gestalt::kernels::cuda
