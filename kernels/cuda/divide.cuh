// Division by a number that is known at launch, as a multiplication.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace gestalt::kernels::cuda {

// Quotients and remainders of numbers below 2³¹ (Granlund and Montgomery 1994, section 4).
class Divider {
 public:
  explicit Divider(int64_t divisor) : divisor_(static_cast<uint32_t>(divisor)) {
    check(divisor >= 1 && divisor < (int64_t{1} << 31), "[cuda] got extent {}, expected 1 to 2³¹ − 1", divisor);
    shift_ = static_cast<uint32_t>(std::bit_width(divisor_ - 1));
    magic_ = static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << shift_) - divisor_)) / divisor_ + 1);
  }
  __device__ __forceinline__ uint32_t quotient(uint32_t n) const { return (__umulhi(n, magic_) + n) >> shift_; }
  // Replaces n by the quotient and returns the remainder.
  __device__ __forceinline__ uint32_t split(uint32_t& n) const {
    const uint32_t whole = n;
    n = quotient(n);
    return whole - n * divisor_;
  }

 private:
  uint32_t divisor_, magic_, shift_;
};

}  // namespace gestalt::kernels::cuda
