// The header of a .npy file.
#include "engine/tensor/npy.h"

#include <fmt/format.h>

#include "kernels/check.h"

namespace gestalt {

std::string npy_header(const Shape& shape) {
  constexpr size_t bytes = 128;
  std::string extents;
  for (int i = 0; i < shape.rank(); ++i) extents += fmt::format("{}, ", shape[i]);
  std::string text =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}",
                  shape.rank() > 1 ? extents.substr(0, extents.size() - 2) : extents.substr(0, extents.size() - 1));
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(bytes - 10);
  header += '\0';
  check(header.size() + text.size() < bytes, "[npy] got shape {}, too long for a header", shape.text());
  text.resize(bytes - 1 - header.size(), ' ');
  return header + text + '\n';
}

}  // namespace gestalt
