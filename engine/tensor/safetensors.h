// The safetensors file format: named tensors that PyTorch, JAX and the rest read without running code.
// Source: https://github.com/huggingface/safetensors (format description).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt {

struct NamedTensor {
  std::string name;
  Tensor tensor;
  bool as_i64 = false;  // an i32 tensor that stands in the file as I64, such as PyTorch's num_batches_tracked
};

using Metadata = std::map<std::string, std::string>;

struct SafetensorsFile {
  std::vector<NamedTensor> tensors;  // in the order of the header
  Metadata metadata;
  bool verified = false;  // it carried checksums, and they are right

  const Tensor& at(const std::string& name) const;  // throws Error with the nearest name
};

// Writes all or nothing: a crash or a full disk leaves the file that stood at `path`. Names must differ. Tensors of any
// dtype and device; the data are ordered by element size, so that every tensor is aligned in the file. With
// `checksums`, the metadata holds one of each tensor and one of the header itself: a reader then finds any bit that has
// changed.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, const Metadata& metadata = {},
                       bool checksums = false);

// Reads F32, F16 (as f32), BF16, F64, U8, BOOL, I32 and I64 (as i32, where it fits) into CPU tensors. Throws Error,
// naming `path`, for anything the format forbids and for checksums that are not right: nothing in the file is trusted.
SafetensorsFile read_safetensors(const std::string& path);
// The same without the tensors' data, which are not looked at.
SafetensorsFile read_safetensors_header(const std::string& path);
// Reads all of a file that has checksums, a piece at a time, and keeps nothing.
void verify_safetensors(const std::string& path);

}  // namespace gestalt
