// Random inputs that belong to samples.
#pragma once

#include "engine/tensor/tensor.h"
#include "kernels/varying.h"

namespace gestalt {

// (B, columns) of N(0, 1) in `dtype` on the device of `samples`, i32 (B): a row is a function of its sample, the seed
// and the step alone. Throws Error unless columns is 1 or more.
Tensor normal_noise(const Tensor& samples, int64_t columns, uint64_t seed, kernels::Varying<uint64_t> step,
                    DType dtype = DType::f32);

}  // namespace gestalt
