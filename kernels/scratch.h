// How a kernel's working memory is cut into pieces.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gestalt::kernels {

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Cuts pieces, each aligned to 256 bytes, from the memory at `memory`, or, where that is null, only adds them up. One
// type takes the pieces in its constructor, for scratch_bytes() through bytes_of and for run(), so that the two agree.
class Scratch {
 public:
  explicit Scratch(void* memory = nullptr) : memory_(static_cast<std::byte*>(memory)) {}

  template <class T>
  T* take(int64_t count) {
    const int64_t at = bytes_;
    bytes_ += divide_up(count * static_cast<int64_t>(sizeof(T)), alignment) * alignment;
    return memory_ ? reinterpret_cast<T*>(memory_ + at) : nullptr;
  }
  int64_t bytes() const { return bytes_; }

 private:
  static constexpr int64_t alignment = 256;
  std::byte* memory_;
  int64_t bytes_ = 0;
};

// What Pieces(Scratch&, args…) takes.
template <class Pieces, class... Args>
int64_t bytes_of(const Args&... args) {
  Scratch scratch;
  Pieces(scratch, args...);
  return scratch.bytes();
}

}  // namespace gestalt::kernels
