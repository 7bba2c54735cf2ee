// Shape: construction, indexing and printing.
#include "engine/tensor/shape.h"

#include <fmt/ranges.h>

#include "kernels/check.h"

namespace gestalt {

Shape::Shape(std::span<const int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  check(rank_ <= max_rank, "[shape] got {} dimensions, expected at most {}", rank_, max_rank);
  for (int i = 0; i < rank_; ++i) {
    check(extents[i] >= 0, "[shape] got extent {} in dimension {}, expected 0 or more", extents[i], i);
    extent_[i] = extents[i];
  }
}

int64_t Shape::count() const {
  int64_t n = 1;
  for (int64_t e : *this) n *= e;
  return n;
}

int Shape::axis_index(int axis) const {
  const int i = axis < 0 ? axis + rank_ : axis;
  check(i >= 0 && i < rank_, "[shape] got axis {} of a shape {} with {} dimensions", axis, text(), rank_);
  return i;
}

int64_t Shape::operator[](int axis) const { return extent_[axis_index(axis)]; }

Shape Shape::with(int axis, int64_t extent) const {
  Shape s = *this;
  s.extent_[axis_index(axis)] = extent;
  return s;
}

std::string Shape::text() const { return fmt::format("({})", fmt::join(begin(), end(), ", ")); }

}  // namespace gestalt
