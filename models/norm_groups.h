// Batch norm by groups of a batch, as if each lay on a device of its own.
#pragma once

#include <functional>

#include "engine/nn/module.h"

namespace gestalt {

// Batch norm over a whole batch would tell a key by the statistics that it shares with its query (He et al. 2020,
// section 3.3). Here a network sees groups of a batch one by one, and two networks may see different ones. Running
// statistics move once for each group.
class NormGroups : public Module {
 public:
  using Pass = std::function<Tensor(const Tensor& images)>;  // (N, …) → (N, D)

  NormGroups() = default;
  // Throws Error, in the method's name, unless the groups have one size of 2 or more.
  NormGroups(const char* method, int64_t groups, int64_t batch);

  Tensor neighbours(const Tensor& images, const Pass& pass) const;  // (B, D): image i in group i / (B / groups)
  // The same with image i in group i mod groups. Without history.
  Tensor mixed(const Tensor& images, const Pass& pass) const;
  void visit(Visitor& v) override;

 private:
  int64_t groups_ = 1;
  Tensor order_, back_;  // (1, B) i32: the image in each place of the mixed groups, and the place of each image
};

}  // namespace gestalt
