// Kernels between images and patches: drawing which patches are seen, cutting those out, and putting gradients back.
#pragma once

#include "kernels/philox.h"
#include "kernels/varying.h"

namespace gestalt::kernels {

// Patches of `side`² pixels tile (batch, height, width, 3) images in rows; patch n of an image begins at pixel
// (n / columns · side, n % columns · side). A patch is side·side·3 numbers, pixel rows first, as MAE's patchify has it.
struct PatchGrid {
  int64_t batch, height, width, side;

  GESTALT_HOST_DEVICE int64_t columns() const { return width / side; }
  GESTALT_HOST_DEVICE int64_t patches() const { return height / side * columns(); }
  GESTALT_HOST_DEVICE int64_t size() const { return side * side * 3; }
  // Where row `row` (side·3 contiguous elements) of patch n of image b begins.
  GESTALT_HOST_DEVICE int64_t row_begin(int64_t b, int64_t n, int64_t row) const {
    return ((b * height + n / columns() * side + row) * width + n % columns() * side) * 3;
  }
};

// y[b, k] = patch index[b, k] of image b; without an index patch k.
struct GatherPatches {
  In images;  // (batch, height, width, 3)
  In index;   // i32 (batch, picked), or absent
  Out y;      // (batch, picked, side·side·3), converted to its dtype
  PatchGrid grid;
  int64_t picked;
};
GESTALT_KERNEL(GatherPatches)
inline Cost cost(const GatherPatches& k) {
  return {.bytes = traffic(k.grid.batch * k.picked * k.grid.size(), k.images, k.y)};
}

// The gradient of GatherPatches: dimages is 0 outside the patches picked. A batch element's indices are distinct.
struct GatherPatchesBackward {
  In dy, index;
  Out dimages;
  PatchGrid grid;
  int64_t picked;
};
GESTALT_KERNEL(GatherPatchesBackward)
inline Cost cost(const GatherPatchesBackward& k) {
  return {.bytes = traffic(k.grid.batch * k.picked * k.grid.size(), k.dy) +
                   traffic(k.grid.batch * k.grid.patches() * k.grid.size(), k.dimages)};
}

// The 32-bit noise of a patch of data set image `sample` in MAE's random masking. A Philox block serves four patches.
GESTALT_HOST_DEVICE uint32_t mask_noise(uint64_t seed, uint64_t step, int32_t sample, int64_t patch) {
  const Philox4 block = draw(seed, Use::mask, step, static_cast<uint32_t>(sample), static_cast<uint32_t>(patch / 4));
  return block.word[patch % 4];
}

// Sorts the patches of each image by noise (then by number): the first `kept` are seen, the others masked. He et al.
// 2022, §3, "random sampling".
struct RandomMask {
  In samples;   // i32 (batch), each image's index in its data set
  Out visible;  // i32 (batch, kept)
  Out places;   // i32 (batch, 1 + kept): where class token and visible patches stand in a sequence, 0 and visible + 1
  Out masked;   // i32 (batch, patches − kept)
  int64_t batch, patches, kept;
  uint64_t seed;
  Varying<uint64_t> step;
};
GESTALT_KERNEL(RandomMask)
inline Cost cost(const RandomMask& k) {
  return {.bytes = traffic(k.batch * k.kept, k.visible) + traffic(k.batch * (1 + k.kept), k.places) +
                   traffic(k.batch * (k.patches - k.kept), k.masked)};
}

}  // namespace gestalt::kernels
