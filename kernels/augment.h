// The fused augmentation kernel: uint8 images in, normalised views out, one pass, no intermediate image.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// Where an image lies in a byte buffer: NHWC rows of 3 channels, `height * width * 3` bytes from `offset` on.
struct Frame {
  int64_t offset;
  int32_t height, width;
};

}  // namespace gestalt::kernels
