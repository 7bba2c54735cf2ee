// DCGAN: construction, forward passes and part names.
#include "models/dcgan.h"

#include "engine/ops/pointwise.h"
#include "engine/ops/pool.h"

namespace gestalt {
namespace {

constexpr double deviation = 0.02;

// k of an image size 4·2^k.
int64_t stages_of(const DcganOptions& options) {
  check(options.width >= 1 && options.latent >= 1, "[dcgan] got width {} and latent {}, expected 1 or more of both",
        options.width, options.latent);
  int64_t stages = 2;
  while (int64_t{4} << stages < options.image_size) ++stages;
  check(int64_t{4} << stages == options.image_size, "[dcgan] got images of {} pixels, expected a power of 2 from 16 on",
        options.image_size);
  return stages;
}

BatchNorm make_norm(int64_t channels, Random& random) {
  BatchNorm norm(channels);
  norm.weight = random.normal({channels}, 1, deviation).require_grad();
  return norm;
}

}  // namespace

DcganGenerator::DcganGenerator(const DcganOptions& options, Random& random) {
  const int64_t stages = stages_of(options);
  int64_t channels = options.width << (stages - 1);
  convs_.emplace_back(options.latent, channels, 4, 1, 0, random, deviation);
  for (int64_t i = 1; i <= stages; ++i) {
    norms_.push_back(make_norm(channels, random));
    const int64_t out = i == stages ? 3 : channels / 2;
    convs_.emplace_back(channels, out, 4, 2, 1, random, deviation);
    channels = out;
  }
}

Tensor DcganGenerator::operator()(const Tensor& z, bool training) {
  const int64_t latent = convs_[0].weight.dim(0);
  check(z.rank() == 2 && z.dim(1) == latent, "[dcgan] got z {}, expected (N, {})", z.shape().text(), latent);
  Tensor x = convs_[0](z.reshape({z.dim(0), 1, 1, latent}));
  for (size_t i = 0; i < norms_.size(); ++i) x = convs_[i + 1](norms_[i](x, training, true));
  return tanh(x);
}

void DcganGenerator::visit(Visitor& v) {
  v("convs", convs_);
  v("norms", norms_);
}

DcganDiscriminator::DcganDiscriminator(const DcganOptions& options, Random& random) : image_size_(options.image_size) {
  const int64_t stages = stages_of(options);
  int64_t channels = 3;
  for (int64_t i = 0; i < stages; ++i) {
    const int64_t out = options.width << i;
    convs_.emplace_back(channels, out, 4, 2, 1, random, deviation);
    if (i > 0) norms_.push_back(make_norm(out, random));
    channels = out;
  }
  convs_.emplace_back(channels, 1, 4, 1, 0, random, deviation);
}

Tensor DcganDiscriminator::last_map(const Tensor& images, bool training) {
  check(images.rank() == 4 && images.shape() == Shape{images.dim(0), image_size_, image_size_, 3},
        "[dcgan] got images {}, expected (N, {}, {}, 3)", images.shape().text(), image_size_, image_size_);
  Tensor x = leaky_relu(convs_[0](images));
  for (size_t i = 0; i < norms_.size(); ++i) x = leaky_relu(norms_[i](convs_[i + 1](x), training));
  return x;
}

Tensor DcganDiscriminator::score(const Tensor& images, bool training) {
  return convs_.back()(last_map(images, training)).reshape({images.dim(0)});
}

Tensor DcganDiscriminator::forward(const Tensor& images, bool training) {
  return average_pool2d(last_map(images, training), 2, 2).flatten();
}

int64_t DcganDiscriminator::features() const { return 4 * convs_.back().weight.dim(3); }

void DcganDiscriminator::visit(Visitor& v) {
  v("convs", convs_);
  v("norms", norms_);
}

}  // namespace gestalt
