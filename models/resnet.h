// ResNet (He et al. 2016), with the ImageNet stem or the CIFAR stem of Chen et al. 2020 (3×3, no max-pool).
#pragma once

#include "engine/nn/layers.h"
#include "models/encoder.h"

namespace gestalt {

struct ResNetShape {
  std::string name, summary;
  std::vector<int64_t> blocks;  // a stage
  bool bottleneck;  // 1×1, 3×3, 1×1 with four times the width out, stride on the 3×3 as torchvision has it
};
const std::vector<ResNetShape>& resnet_shapes();

// Two 3×3 convolutions, or a bottleneck of three, around a shortcut.
class ResidualBlock : public Module {
 public:
  ResidualBlock(int64_t in, int64_t width, int64_t stride, bool bottleneck, Random& random);
  Tensor operator()(const Tensor& x, bool training);
  void visit(Visitor& v) override;
  int64_t out_channels() const;

 private:
  std::vector<Conv2d> convs_;
  std::vector<BatchNorm> norms_;
  Conv2d shortcut_;  // undefined weights where the shortcut is the identity
  BatchNorm shortcut_norm_;
};

// Part names are torchvision's; filters are (O, KH, KW, I) here and OIHW there.
class ResNet : public Encoder {
 public:
  ResNet(const ResNetShape& shape, int64_t width, bool cifar_stem, Random& random);
  Tensor forward(const Tensor& images, bool training) override;  // (N, H, W, 3) → (N, features)
  Tensor last_map(const Tensor& images, bool training);  // what forward() averages: (N, rows, columns, features)
  int64_t features() const override { return features_; }
  void visit(Visitor& v) override;

 private:
  bool cifar_stem_;
  Conv2d stem_;
  BatchNorm stem_norm_;
  std::vector<std::vector<ResidualBlock>> stages_;
  int64_t features_ = 0;
};

}  // namespace gestalt
