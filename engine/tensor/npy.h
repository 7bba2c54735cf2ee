// NumPy's file format of one array, version 1.0: what numpy.load and most other programs read.
// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <string>

#include "engine/tensor/shape.h"

namespace gestalt {

// What stands before the data, little-endian f32 in C order. Always 128 bytes, so that it can be written again when the
// number of rows is known.
std::string npy_header(const Shape& shape);

}  // namespace gestalt
