// Patches on the CPU: masks by sorting noise, and rows of pixels copied to and from patches.
#include "kernels/patch.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

int64_t grain_of(const PatchGrid& grid) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, grid.size())); }

// Patch number of pick k of image b, checked.
struct Pick {
  const int32_t* index;
  int64_t picked, patches;

  int64_t operator()(int64_t b, int64_t k) const {
    if (!index) return k;
    const int32_t n = index[b * picked + k];
    check(n >= 0 && n < patches, "[gather_patches] got index {} for image {}, expected 0 to {}", n, b, patches - 1);
    return n;
  }
};

template <class X, class Y>
void convert_row(const X* x, Y* y, int64_t count) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) store(&y[j], static_cast<Accumulator<Y>>(x[j]));
}

// Calls f with the typed pointers of x and y.
template <class F>
void dispatch_pair(In x, Out y, F&& f) {
  dispatch_float(x.dtype, [&](auto tx) {
    dispatch_float(y.dtype, [&](auto ty) { f(x.as<decltype(tx)>(), y.as<decltype(ty)>()); });
  });
}

}  // namespace

void run(const GatherPatches& k, Stream) {
  const Pick pick{k.index.as<int32_t>(), k.picked, k.grid.patches()};
  std::vector<int32_t> at(static_cast<size_t>(k.grid.batch * k.picked));
  for (int64_t i = 0; i < k.grid.batch * k.picked; ++i) at[i] = static_cast<int32_t>(pick(i / k.picked, i % k.picked));
  const PatchGrid grid = k.grid;
  const int64_t row = grid.side * 3;
  dispatch_pair(k.images, k.y, [&](const auto* images, auto* y) {
    parallel_ranges(grid.batch * k.picked, grain_of(grid), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        for (int64_t r = 0; r < grid.side; ++r)
          convert_row(images + grid.row_begin(i / k.picked, at[i], r), y + i * grid.size() + r * row, row);
    });
  });
}

void run(const GatherPatchesBackward& k, Stream) {
  const Pick pick{k.index.as<int32_t>(), k.picked, k.grid.patches()};
  const PatchGrid grid = k.grid;
  const int64_t row = grid.side * 3, image = grid.height * grid.width * 3;
  dispatch_pair(k.dy, k.dimages, [&](const auto* dy, auto* dimages) {
    parallel_ranges(grid.batch, 1, [&](int64_t begin, int64_t end) {
      std::fill(dimages + begin * image, dimages + end * image, 0.0f);
      for (int64_t i = begin * k.picked; i < end * k.picked; ++i) {
        const int64_t b = i / k.picked, n = pick(b, i % k.picked);
        for (int64_t r = 0; r < grid.side; ++r)
          convert_row(dy + i * grid.size() + r * row, dimages + grid.row_begin(b, n, r), row);
      }
    });
  });
}

void run(const RandomMask& k, Stream) {
  int32_t *visible = k.visible.as<int32_t>(), *places = k.places.as<int32_t>(), *masked = k.masked.as<int32_t>();
  const int32_t* samples = k.samples.as<int32_t>();
  const int64_t hidden = k.patches - k.kept;
  const uint64_t step = k.step.now();
  parallel_ranges(k.batch, 8, [&](int64_t begin, int64_t end) {
    std::vector<uint64_t> order(static_cast<size_t>(k.patches));
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t n = 0; n < k.patches; ++n)
        order[n] = static_cast<uint64_t>(mask_noise(k.seed, step, samples[b], n)) << 32 | static_cast<uint64_t>(n);
      std::sort(order.begin(), order.end());
      places[b * (1 + k.kept)] = 0;
      for (int64_t i = 0; i < k.patches; ++i) {
        const auto n = static_cast<int32_t>(order[i] & 0xffffffffu);
        if (i < k.kept) {
          visible[b * k.kept + i] = n;
          places[b * (1 + k.kept) + 1 + i] = n + 1;
        } else {
          masked[b * hidden + i - k.kept] = n;
        }
      }
    }
  });
}

}  // namespace gestalt::kernels::cpu
