// What other libraries call the tensors of ResNets and ViTs, in our names.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/tensor/safetensors.h"

namespace gestalt {

enum class Library { torchvision_or_timm, torchvision, timm, transformers };
std::string name(Library library);

struct ForeignTensors {
  Library library;
  bool vit = false;                       // else a ResNet
  std::map<std::string, Tensor> tensors;  // f32, by our names; filters are OIHW
  std::vector<std::string> ignored;       // heads, and what else has no part in the features
};

// Throws Error for a file of none of the layouts.
ForeignTensors foreign_tensors(const std::string& path, const SafetensorsFile& file);

}  // namespace gestalt
