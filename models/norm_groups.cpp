// Cutting a batch into groups and putting it together again.
#include "models/norm_groups.h"

#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"

namespace gestalt {
namespace {

// Row index[n] of x in place n.
Tensor placed(const Tensor& x, const Tensor& index) {
  return gather_rows(x.reshape({1, x.dim(0), x.count() / x.dim(0)}), index).reshape(x.shape());
}

}  // namespace

NormGroups::NormGroups(const char* method, int64_t groups, int64_t batch) : groups_(groups) {
  check(groups >= 1 && batch % groups == 0 && (groups == 1 || batch > groups),
        "[{}] got --norm-groups {} with --batch {}, expected groups of one size, 2 or more; use --norm-groups 1 or "
        "another --batch",
        method, groups, batch);
  std::vector<int32_t> order, back(static_cast<size_t>(batch));
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t i = g; i < batch; i += groups) {
      back[static_cast<size_t>(i)] = static_cast<int32_t>(order.size());
      order.push_back(static_cast<int32_t>(i));
    }
  order_ = Tensor::from(order, {1, batch});
  back_ = Tensor::from(back, {1, batch});
}

Tensor NormGroups::neighbours(const Tensor& images, const Pass& pass) const {
  const int64_t size = images.dim(0) / groups_;
  Tensor all = pass(images.slice(0, size));
  for (int64_t g = 1; g < groups_; ++g) all = concat(all, pass(images.slice(g * size, (g + 1) * size)));
  return all;
}

Tensor NormGroups::mixed(const Tensor& images, const Pass& pass) const {
  const NoGrad off;
  return groups_ == 1 ? pass(images) : placed(neighbours(placed(images, order_), pass), back_);
}

void NormGroups::visit(Visitor& v) {
  v.state("order", order_);
  v.state("back", back_);
}

}  // namespace gestalt
