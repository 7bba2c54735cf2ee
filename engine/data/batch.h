// What a training step trains on, every tensor by name, and how a method says what it wants.
#pragma once

#include <functional>
#include <vector>

#include "engine/tensor/tensor.h"
#include "kernels/augment.h"

namespace gestalt {

enum class Modality { images, text };

// Views of one size, which one launch of the augment kernel makes.
struct ViewGroup {
  std::vector<kernels::AugmentParameters> views;  // one entry a view: how it is drawn
  int64_t size = 0;                               // side in pixels
};

struct Wants {
  Modality modality = Modality::images;
  std::vector<ViewGroup> groups = {};  // images: groups of views, such as two large and six small
  DType view_dtype = DType::f32;       // f32 or bf16
  bool labels = false;                 // the data's classes, which only supervised methods may see
  int64_t context = 0;                 // text: tokens of a window
};

// What was asked for is there, on the run's device; the other tensors are undefined.
struct Batch {
  std::vector<Tensor> views;  // one a group, (views · B, S, S, 3): the first view of all images, then the second, …
  Tensor samples;             // (B) i32: each item's index in its data set
  Tensor labels;              // (B) i32
  Tensor tokens, targets;     // (B, T) i32, each target the token after its input
  Tensor waves;               // (B, T, C): sound
  Tensor frames;              // (B, T, H, W, C): video

  // Calls f on every tensor that is there, in a fixed order.
  void each(const std::function<void(Tensor&)>& f);
};

}  // namespace gestalt
