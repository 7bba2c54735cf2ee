// The bank of prototypes.
#include "engine/nn/prototypes.h"

#include <cmath>

#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/tensor/autograd.h"

namespace gestalt {

Prototypes::Prototypes(int64_t count, int64_t dim, Random& random) {
  check(count >= 1 && dim >= 1, "[prototypes] got {} of width {}, expected 1 or more", count, dim);
  // Drawn as PyTorch's Linear draws it.
  const double bound = 1 / std::sqrt(static_cast<double>(dim));
  weight_ = random.uniform({count, dim}, -bound, bound).require_grad();
}

void Prototypes::bring_to_unit_length() {
  const NoGrad off;
  weight_.copy_from(normalize(weight_));
  if (Tensor shadow = weight_.shadow()) shadow.copy_from(weight_);
}

Tensor Prototypes::operator()(const Tensor& z) const { return linear(z, weight_); }

void check_prototypes(const char* method, int64_t count, int64_t images) {
  constexpr int64_t images_each = 15;
  const int64_t most = images / images_each;
  check(count <= most,
        "[{}] got --prototypes {} with {} images, expected {} or fewer, so that each stands for {} images; {}", method,
        count, images, most, images_each,
        most >= 2 ? fmt::format("use --prototypes {}", most) : std::string("use more images"));
}

}  // namespace gestalt
