// Barriers, warp operations, atomics and arithmetic of device code.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <ctime>
#include <type_traits>

#include "tests/cuda_emulator/execution.h"

#define EMULATOR_SITE ::emulator::Site where = ::emulator::Site::here()

inline void __syncthreads(EMULATOR_SITE) { emulator::block_barrier("__syncthreads", where, 0); }
inline int __syncthreads_count(int predicate, EMULATOR_SITE) {
  return emulator::block_barrier("__syncthreads_count", where, predicate);
}
inline int __syncthreads_or(int predicate, EMULATOR_SITE) {
  return emulator::block_barrier("__syncthreads_or", where, predicate) > 0;
}
inline int __syncthreads_and(int predicate, EMULATOR_SITE) {
  return emulator::block_barrier("__syncthreads_and", where, !predicate) == 0;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace emulator {

template <class T>
struct Exchange {
  T value, result;
  int from;  // lane within the warp that is read
};

template <class T>
T exchange(const char* what, Site where, unsigned mask, T value, int from) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8));
  Exchange<T> mine{value, value, from};
  warp_meeting(what, where, mask, &mine, [](void* const* payloads, uint32_t named) {
    for (int lane = 0; lane < 32; ++lane) {
      if (!(named >> lane & 1)) continue;
      auto& e = *static_cast<Exchange<T>*>(payloads[lane]);
      if (named >> e.from & 1)
        e.result = static_cast<const Exchange<T>*>(payloads[e.from])->value;
      else
        std::memset(static_cast<void*>(&e.result), 0xFF, sizeof(T));  // undefined on the device
    }
  });
  return mine.result;
}

// Folds the lanes' values in lane order with `fold`, a stateless function object.
template <class T, class Fold>
T reduce(const char* what, Site where, unsigned mask, T value) {
  T mine = value;
  warp_meeting(what, where, mask, &mine, [](void* const* payloads, uint32_t named) {
    T total{};
    bool first = true;
    for (int lane = 0; lane < 32; ++lane) {
      if (!(named >> lane & 1)) continue;
      const T v = *static_cast<const T*>(payloads[lane]);
      total = first ? v : Fold()(total, v);
      first = false;
    }
    for (int lane = 0; lane < 32; ++lane)
      if (named >> lane & 1) *static_cast<T*>(payloads[lane]) = total;
  });
  return mine;
}

struct Larger {
  template <class T>
  T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
struct Smaller {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};

inline uint32_t ballot(const char* what, Site where, unsigned mask, int predicate) {
  return reduce<uint32_t, std::bit_or<uint32_t>>(what, where, mask, predicate ? uint32_t{1} << lane() : 0);
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATOR_SITE) {
  return emulator::exchange("__shfl_sync", where, mask, value,
                            emulator::lane() / width * width + (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMULATOR_SITE) {
  const int lane = emulator::lane(), from = lane ^ bits;
  return emulator::exchange("__shfl_xor_sync", where, mask, value, from / width > lane / width ? lane : from);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_SITE) {
  const int lane = emulator::lane(), within = lane % width + static_cast<int>(delta);
  return emulator::exchange("__shfl_down_sync", where, mask, value,
                            within < width ? lane + static_cast<int>(delta) : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_SITE) {
  const int lane = emulator::lane(), within = lane % width - static_cast<int>(delta);
  return emulator::exchange("__shfl_up_sync", where, mask, value, within >= 0 ? lane - static_cast<int>(delta) : lane);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_SITE) {
  emulator::warp_meeting("__syncwarp", where, mask, nullptr, [](void* const*, uint32_t) {});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_SITE) {
  return emulator::ballot("__ballot_sync", where, mask, predicate);
}
inline int __any_sync(unsigned mask, int predicate, EMULATOR_SITE) {
  return emulator::ballot("__any_sync", where, mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATOR_SITE) {
  return emulator::ballot("__all_sync", where, mask, predicate) == mask;
}
template <class T>
T __reduce_add_sync(unsigned mask, T value, EMULATOR_SITE) {
  return emulator::reduce<T, std::plus<T>>("__reduce_add_sync", where, mask, value);
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, EMULATOR_SITE) {
  return emulator::reduce<T, emulator::Larger>("__reduce_max_sync", where, mask, value);
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, EMULATOR_SITE) {
  return emulator::reduce<T, emulator::Smaller>("__reduce_min_sync", where, mask, value);
}
inline unsigned __activemask() { emulator::fault("__activemask says nothing certain on a device; name the lanes"); }

// Atomics. Threads switch only at meeting points, so plain reads and writes are atomic here.
#define EMULATOR_ATOMIC(name, expression)             \
  template <class T>                                  \
  T name(T* address, std::type_identity_t<T> value) { \
    const T old = *address;                           \
    *address = expression;                            \
    return old;                                       \
  }
EMULATOR_ATOMIC(atomicAdd, static_cast<T>(old + value))
EMULATOR_ATOMIC(atomicSub, static_cast<T>(old - value))
EMULATOR_ATOMIC(atomicMax, (old > value ? old : value))
EMULATOR_ATOMIC(atomicMin, (old < value ? old : value))
EMULATOR_ATOMIC(atomicExch, value)
EMULATOR_ATOMIC(atomicAnd, (old & value))
EMULATOR_ATOMIC(atomicOr, (old | value))
EMULATOR_ATOMIC(atomicXor, (old ^ value))
EMULATOR_ATOMIC(atomicInc, (old >= value ? 0 : old + 1))
EMULATOR_ATOMIC(atomicDec, (old == 0 || old > value ? value : old - 1))
#undef EMULATOR_ATOMIC
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T old = *address;
  if (old == expected) *address = value;
  return old;
}

// Loads and stores with cache hints.
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
T __ldca(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> v) {
  *p = v;
}
template <class T>
void __stcg(T* p, std::type_identity_t<T> v) {
  *p = v;
}
template <class T>
void __stwt(T* p, std::type_identity_t<T> v) {
  *p = v;
}

// Arithmetic. glibc declares some of these names for its own use, hence the macros.
namespace emulator {
// The quick forms err on the device: here by a unit in the last place, up, down or not at all, as the result's bits
// say.
inline float off_by_an_ulp(float y) {
  const uint32_t bits = std::bit_cast<uint32_t>(y), size = bits & 0x7fffffffu;
  if (size < 0x00800001u || size >= 0x7f000000u || size == 0x3f800000u) return y;  // 1 is exact on the device too
  const uint32_t die = bits * 0x9E3779B9u >> 30;
  return std::bit_cast<float>(bits + (die == 1) - (die == 2));
}
inline float quick_exp(float x) { return off_by_an_ulp(std::exp(x)); }
inline float quick_exp2(float x) { return off_by_an_ulp(std::exp2(x)); }
inline float quick_log(float x) { return off_by_an_ulp(std::log(x)); }
inline float quick_sin(float x) { return std::sin(x); }
inline float quick_cos(float x) { return std::cos(x); }
inline float quick_pow(float x, float y) { return std::pow(x, y); }
}  // namespace emulator
#define __expf(x) ::emulator::quick_exp(x)
#define __exp2f(x) ::emulator::quick_exp2(x)
#define __logf(x) ::emulator::quick_log(x)
#define __sinf(x) ::emulator::quick_sin(x)
#define __cosf(x) ::emulator::quick_cos(x)
#define __powf(x, y) ::emulator::quick_pow(x, y)
inline float __log2_of(float x) { return std::log2(x); }
#define __log2f(x) __log2_of(x)
inline float rsqrtf(float x) { return emulator::off_by_an_ulp(1.0f / std::sqrt(x)); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / std::sqrt(x); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline int __float2int_rd(float x) { return static_cast<int>(std::floor(x)); }
inline unsigned __float2uint_rn(float x) { return static_cast<unsigned>(std::nearbyint(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x ? std::countr_zero(static_cast<unsigned>(x)) + 1 : 0; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t{a} * b) >> 32); }
inline unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i) r |= (x >> i & 1) << (31 - i);
  return r;
}
inline long long clock64() { return static_cast<long long>(std::clock()); }

// CUDA has these in the global namespace, for mixed integer types too; of a number and a NaN they take the number.
template <class A, class B>
requires(std::is_arithmetic_v<A>&& std::is_arithmetic_v<B>) constexpr std::common_type_t<A, B> min(A a, B b) {
  using C = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<C>)
    return std::fmin(static_cast<C>(a), static_cast<C>(b));
  else
    return static_cast<C>(a) < static_cast<C>(b) ? static_cast<C>(a) : static_cast<C>(b);
}
template <class A, class B>
requires(std::is_arithmetic_v<A>&& std::is_arithmetic_v<B>) constexpr std::common_type_t<A, B> max(A a, B b) {
  using C = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<C>)
    return std::fmax(static_cast<C>(a), static_cast<C>(b));
  else
    return static_cast<C>(a) > static_cast<C>(b) ? static_cast<C>(a) : static_cast<C>(b);
}
