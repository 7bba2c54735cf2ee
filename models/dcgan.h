// The two networks of DCGAN (Radford et al. 2016, arXiv 1511.06434): a generator of images and a discriminator.
#pragma once

#include "engine/nn/layers.h"
#include "models/encoder.h"

namespace gestalt {

// Convolutions have no bias and weights of N(0, .02), batch norms scales of N(1, .02) and shifts of 0. The size is any
// 4·2^k with k ≥ 2: each network has k stages that double or halve the map, and one between the 4×4 map and a vector.
struct DcganOptions {
  int64_t image_size = 32;
  int64_t latent = 100;  // numbers that an image is made from
  int64_t width = 64;    // channels of the largest map but the image; each halving of the map doubles them
};

// Transposed 4×4 convolutions, batch norm and ReLU between, tanh at the end.
class DcganGenerator : public Module {
 public:
  DcganGenerator(const DcganOptions& options, Random& random);
  Tensor operator()(const Tensor& z, bool training);  // (N, latent) → images (N, S, S, 3) in [−1, 1]
  void visit(Visitor& v) override;

 private:
  std::vector<ConvTranspose2d> convs_;
  std::vector<BatchNorm> norms_;
};

// 4×4 convolutions of stride 2, batch norm on all but the first, LeakyReLU of slope .2, and a 4×4 convolution to one
// number.
class DcganDiscriminator : public Encoder {
 public:
  DcganDiscriminator(const DcganOptions& options, Random& random);
  // images (N, S, S, 3) in [−1, 1] → (N), the logit of their being real.
  Tensor score(const Tensor& images, bool training);
  // The last map, averaged over a 2×2 grid: (N, 4·C). Radford et al. (§5.1) join the maps of all stages, each
  // max-pooled to a 4×4 grid; the last alone is the simplest of such features.
  Tensor forward(const Tensor& images, bool training) override;
  int64_t features() const override;
  void visit(Visitor& v) override;

 private:
  Tensor last_map(const Tensor& images, bool training);  // (N, 4, 4, C)

  int64_t image_size_;
  std::vector<Conv2d> convs_;  // the last one scores
  std::vector<BatchNorm> norms_;
};

}  // namespace gestalt
