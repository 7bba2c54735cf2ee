// ViT: positions, patch embedding and forward passes over all or some patches.
#include "models/vit.h"

#include <cmath>

#include "engine/ops/pointwise.h"
#include "engine/ops/pool.h"
#include "engine/ops/product.h"
#include "engine/ops/tokens.h"

namespace gestalt {

const std::vector<VitShape>& vit_shapes() {
  static const std::vector<VitShape> shapes{
      {"vit-nano", "ViT of 128 x 6 x 4 (width, blocks, heads), for a CPU and for trying things out", 128, 6, 4},
      {"vit-tiny", "ViT-Ti, 192 x 12 x 3 (Touvron et al. 2021)", 192, 12, 3},
      {"vit-small", "ViT-S, 384 x 12 x 6 (Touvron et al. 2021)", 384, 12, 6},
      {"vit-base", "ViT-B, 768 x 12 x 12 (Dosovitskiy et al. 2021)", 768, 12, 12},
      {"vit-large", "ViT-L, 1024 x 24 x 16 (Dosovitskiy et al. 2021)", 1024, 24, 16}};
  return shapes;
}

Tensor sincos_positions(int64_t side, int64_t width) {
  check(width >= 4 && width % 4 == 0, "[vit] got a width of {}, expected a multiple of 4", width);
  const int64_t frequencies = width / 4;
  std::vector<float> values(static_cast<size_t>((1 + side * side) * width), 0.0f);
  for (int64_t patch = 0; patch < side * side; ++patch) {
    float* row = values.data() + (1 + patch) * width;
    const double at[2] = {static_cast<double>(patch % side), static_cast<double>(patch / side)};
    for (int64_t axis = 0; axis < 2; ++axis)
      for (int64_t i = 0; i < frequencies; ++i) {
        const double angle = at[axis] * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(frequencies));
        row[(2 * axis) * frequencies + i] = static_cast<float>(std::sin(angle));
        row[(2 * axis + 1) * frequencies + i] = static_cast<float>(std::cos(angle));
      }
  }
  return Tensor::from(std::span<const float>(values), {1, 1 + side * side, width});
}

Tensor add_positions(const Tensor& x, const Tensor& positions) {
  return add_row(x.flatten(), positions.flatten(0)).reshape(x.shape());
}

Tensor add_positions(const Tensor& x, const Tensor& positions, const Tensor& places) {
  return add(x, embedding(positions.reshape({positions.dim(1), positions.dim(2)}), places, x.dtype()));
}

VisionTransformer::VisionTransformer(const VitShape& shape, int64_t image_size, int64_t patch, bool class_token,
                                     Random& random)
    : width_(shape.width), patch_(patch), class_token_(class_token), norm_(shape.width, 1e-6) {
  check(patch >= 1 && image_size >= patch && image_size % patch == 0,
        "[vit] got patches of {} pixels for images of {}, expected a divisor; set --patch or --size", patch,
        image_size);
  side_ = image_size / patch;
  cls_token_ = random.normal({1, 1, width_}, 0, 0.02).require_grad();
  pos_embed_ = sincos_positions(side_, width_);
  proj_weight_ = draw_weight({width_, patch, patch, 3}, WeightDraw::xavier, random);
  proj_bias_ = Tensor::zeros({width_}).require_grad();
  for (int64_t i = 0; i < shape.depth; ++i)
    blocks_.emplace_back(TransformerOptions{.width = width_, .heads = shape.heads}, random);
}

Tensor VisionTransformer::embed(const Tensor& images, const Tensor& index, DType dtype) const {
  const int64_t pixels = side_ * patch_;
  check(images.rank() == 4 && images.dim(1) == pixels && images.dim(2) == pixels,
        "[vit] got images {}, expected (B, {}, {}, 3) as at the start", images.shape().text(), pixels, pixels);
  const Shape matrix{width_, patch_ * patch_ * 3};
  Tensor weight = proj_weight_.reshape(matrix);
  if (const Tensor shadow = proj_weight_.shadow()) weight.set_shadow(shadow.reshape(matrix));
  const Tensor x = linear(gather_patches(images, index, patch_, dtype), weight, proj_bias_);
  return prepend_token(x, cls_token_.reshape({width_}));
}

Tensor VisionTransformer::encode(Tensor x) const {
  for (const TransformerBlock& block : blocks_) x = block(x);
  return norm_(x);
}

Tensor VisionTransformer::tokens(const Tensor& images, DType dtype) const {
  return encode(add_positions(embed(images, {}, dtype), pos_embed_));
}

Tensor VisionTransformer::tokens(const Tensor& images, const PatchMask& mask, DType dtype) const {
  return encode(add_positions(embed(images, mask.visible, dtype), pos_embed_, mask.places));
}

Tensor VisionTransformer::forward(const Tensor& images, bool) {
  const Tensor x = tokens(images, images.dtype());
  if (class_token_) return slice_tokens(x, 0, 1).reshape({x.dim(0), width_});
  return global_average_pool(slice_tokens(x, 1, x.dim(1)));
}

int64_t VisionTransformer::layer_of(const std::string& part) const {
  const std::string blocks = "blocks.";
  if (part.starts_with(blocks)) return std::stoll(part.substr(blocks.size())) + 1;
  return part.starts_with("norm.") ? layers() : 0;
}

void VisionTransformer::visit(Visitor& v) {
  v("cls_token", cls_token_);
  v.state("pos_embed", pos_embed_);
  v("patch_embed.proj.weight", proj_weight_);
  v("patch_embed.proj.bias", proj_bias_);
  v("blocks", blocks_);
  v("norm", norm_);
}

}  // namespace gestalt
