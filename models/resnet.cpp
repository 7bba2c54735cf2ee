// ResNet: construction, forward pass and part names.
#include "models/resnet.h"

#include "engine/ops/pool.h"

namespace gestalt {

const std::vector<ResNetShape>& resnet_shapes() {
  static const std::vector<ResNetShape> shapes{
      {"resnet10", "ResNet with one basic block a stage; 4.9 M parameters at width 64", {1, 1, 1, 1}, false},
      {"resnet18", "ResNet-18 (He et al. 2016); 11.2 M parameters at width 64", {2, 2, 2, 2}, false},
      {"resnet34", "ResNet-34; 21.3 M parameters at width 64", {3, 4, 6, 3}, false},
      {"resnet50", "ResNet-50 with bottlenecks; 23.5 M parameters at width 64", {3, 4, 6, 3}, true},
  };
  return shapes;
}

ResidualBlock::ResidualBlock(int64_t in, int64_t width, int64_t stride, bool bottleneck, Random& random) {
  const int64_t out = bottleneck ? 4 * width : width;
  if (bottleneck) {
    convs_.emplace_back(in, width, 1, 1, 0, random);
    convs_.emplace_back(width, width, 3, stride, 1, random);
    convs_.emplace_back(width, out, 1, 1, 0, random);
  } else {
    convs_.emplace_back(in, width, 3, stride, 1, random);
    convs_.emplace_back(width, out, 3, 1, 1, random);
  }
  for (const Conv2d& conv : convs_) norms_.emplace_back(conv.weight.dim(0));
  if (stride != 1 || in != out) {
    shortcut_ = Conv2d(in, out, 1, stride, 0, random);
    shortcut_norm_ = BatchNorm(out);
  }
}

int64_t ResidualBlock::out_channels() const { return convs_.back().weight.dim(0); }

Tensor ResidualBlock::operator()(const Tensor& x, bool training) {
  const Tensor residual = shortcut_.weight ? shortcut_norm_(shortcut_(x), training) : x;
  Tensor y = x;
  const size_t last = convs_.size() - 1;
  for (size_t i = 0; i < last; ++i) y = norms_[i](convs_[i](y), training, true);
  return norms_[last](convs_[last](y), training, true, residual);
}

void ResidualBlock::visit(Visitor& v) {
  for (size_t i = 0; i < convs_.size(); ++i) {
    v("conv" + std::to_string(i + 1), convs_[i]);
    v("bn" + std::to_string(i + 1), norms_[i]);
  }
  v("downsample.0", shortcut_);
  v("downsample.1", shortcut_norm_);
}

ResNet::ResNet(const ResNetShape& shape, int64_t width, bool cifar_stem, Random& random) : cifar_stem_(cifar_stem) {
  stem_ = cifar_stem ? Conv2d(3, width, 3, 1, 1, random) : Conv2d(3, width, 7, 2, 3, random);
  stem_norm_ = BatchNorm(width);
  int64_t channels = width;
  for (size_t stage = 0; stage < shape.blocks.size(); ++stage) {
    std::vector<ResidualBlock>& blocks = stages_.emplace_back();
    for (int64_t i = 0; i < shape.blocks[stage]; ++i) {
      const int64_t stride = i == 0 && stage > 0 ? 2 : 1;
      blocks.emplace_back(channels, width << stage, stride, shape.bottleneck, random);
      channels = blocks.back().out_channels();
    }
  }
  features_ = channels;
}

Tensor ResNet::forward(const Tensor& images, bool training) { return global_average_pool(last_map(images, training)); }

Tensor ResNet::last_map(const Tensor& images, bool training) {
  check(images.rank() == 4 && images.dim(3) == 3, "[resnet] got images {}, expected (N, H, W, 3)",
        images.shape().text());
  Tensor x = stem_norm_(stem_(images), training, true);
  if (!cifar_stem_) x = max_pool2d(x, 3, 2, 1);
  for (auto& stage : stages_)
    for (ResidualBlock& block : stage) x = block(x, training);
  return x;
}

void ResNet::visit(Visitor& v) {
  v("conv1", stem_);
  v("bn1", stem_norm_);
  for (size_t stage = 0; stage < stages_.size(); ++stage) v("layer" + std::to_string(stage + 1), stages_[stage]);
}

}  // namespace gestalt
