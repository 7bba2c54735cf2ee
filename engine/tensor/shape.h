// The extents of a tensor: up to six dimensions, held inline.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace gestalt {

class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents);

  int rank() const { return rank_; }
  int64_t count() const;               // number of elements; 1 for a scalar
  int64_t operator[](int axis) const;  // a negative axis counts from the end
  Shape with(int axis, int64_t extent) const;
  std::string text() const;  // "(2, 3)"
  const int64_t* begin() const { return extent_.data(); }
  const int64_t* end() const { return extent_.data() + rank_; }
  bool operator==(const Shape&) const = default;

 private:
  int axis_index(int axis) const;

  std::array<int64_t, max_rank> extent_{};
  int rank_ = 0;
};

}  // namespace gestalt
