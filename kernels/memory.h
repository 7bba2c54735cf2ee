// What a kernel sees of the world: element types, raw memory that is read or written, and the stream it runs on.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

#include "kernels/check.h"
#include "kernels/host_device.h"

namespace gestalt {

enum class DType : uint8_t { f32, bf16, u8, i32, f64 };
enum class Device : uint8_t { cpu, cuda };

std::string_view name(DType);
std::string_view name(Device);
int64_t size_of(DType);  // bytes of one element

// bfloat16: the upper half of an IEEE float. Conversion from float rounds to nearest even and keeps NaN.
struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;
  GESTALT_HOST_DEVICE BFloat16(float value) : bits(round(value)) {}
  GESTALT_HOST_DEVICE static uint16_t round(float value) {
    const uint32_t wide = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16;
    const bool nan = (wide & 0x7fffffffu) > 0x7f800000u;
    return static_cast<uint16_t>(nan ? (wide >> 16) | 0x40u : rounded);
  }
  GESTALT_HOST_DEVICE operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

// Writes `value` to `*to`. In a loop under `omp simd` this becomes vector code, which assigning a BFloat16 does not.
GESTALT_HOST_DEVICE void store(float* to, float value) { *to = value; }
GESTALT_HOST_DEVICE void store(double* to, double value) { *to = value; }
GESTALT_HOST_DEVICE void store(BFloat16* to, float value) { to->bits = BFloat16::round(value); }

template <class T>
struct TypeTag;
template <>
struct TypeTag<float> {
  static constexpr DType dtype = DType::f32;
  using Accumulator = float;
};
template <>
struct TypeTag<BFloat16> {
  static constexpr DType dtype = DType::bf16;
  using Accumulator = float;
};
template <>
struct TypeTag<double> {
  static constexpr DType dtype = DType::f64;
  using Accumulator = double;
};
template <>
struct TypeTag<uint8_t> {
  static constexpr DType dtype = DType::u8;
  using Accumulator = int32_t;
};
template <>
struct TypeTag<int32_t> {
  static constexpr DType dtype = DType::i32;
  using Accumulator = int32_t;
};

template <class T>
constexpr DType dtype_of = TypeTag<T>::dtype;

// What sums of T are held in, and the type of the parameters (bias, gamma, …) that go with activations of type T.
template <class T>
using Accumulator = typename TypeTag<T>::Accumulator;

// The dtype of Accumulator<T> for a run-time T: f32 for bf16, else itself.
inline DType accumulator_of(DType dtype) { return dtype == DType::bf16 ? DType::f32 : dtype; }

// Memory that a kernel reads. An absent optional operand is an In whose `data` is null.
struct In {
  const void* data = nullptr;
  DType dtype = DType::f32;

  explicit operator bool() const { return data != nullptr; }
  template <class T>
  const T* as() const {
    if (data != nullptr && dtype != dtype_of<T>)
      fail("[kernel] got an operand of {}, expected {}", name(dtype), name(dtype_of<T>));
    return static_cast<const T*>(data);
  }
  // What begins at element i; nothing, of nothing.
  In from(int64_t i) const {
    return {data ? static_cast<const std::byte*>(data) + i * size_of(dtype) : nullptr, dtype};
  }
};

// Memory that a kernel writes, whole, unless its struct says that it accumulates.
struct Out {
  void* data = nullptr;
  DType dtype = DType::f32;

  explicit operator bool() const { return data != nullptr; }
  template <class T>
  T* as() const {
    if (data != nullptr && dtype != dtype_of<T>)
      fail("[kernel] got a result of {}, expected {}", name(dtype), name(dtype_of<T>));
    return static_cast<T*>(data);
  }
  Out from(int64_t i) const { return {data ? static_cast<std::byte*>(data) + i * size_of(dtype) : nullptr, dtype}; }
};

// Where a kernel runs. `handle` is the cudaStream_t on CUDA and null on the CPU, where a launch returns when it is
// done.
struct Stream {
  Device device = Device::cpu;
  void* handle = nullptr;
  void* scratch = nullptr;  // working memory of the launch at hand, where its kernel asks for some
};

// Calls f(T{}) with the C++ type of a floating dtype; throws for integers.
template <class F>
decltype(auto) dispatch_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(BFloat16{});
    case DType::f64:
      return f(double{});
    default:
      fail("[kernel] got dtype {}, expected f32, bf16 or f64", name(dtype));
  }
}

}  // namespace gestalt
