// ViT: positions, patch embedding and forward passes over all or some patches.
#include "models/vit.h"

#include <algorithm>
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
      {"vit-large", "ViT-L, 1024 x 24 x 16 (Dosovitskiy et al. 2021)", 1024, 24, 16},
      {"vit-huge", "ViT-H, 1280 x 32 x 16 (Dosovitskiy et al. 2021)", 1280, 32, 16}};
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

Tensor sincos_patch_positions(int64_t side, int64_t width) {
  const Tensor all = sincos_positions(side, width).reshape({1 + side * side, width});
  return all.slice(1, all.dim(0)).clone().reshape({1, side * side, width});
}

namespace {

// Which entries of an axis of `from` points make point `to_index` of `to`, and their weights (Keys 1981).
struct Cubic {
  int64_t at[4];
  double weight[4];

  Cubic(int64_t to_index, int64_t from, int64_t to) {
    constexpr double a = -0.75;
    const double x = (static_cast<double>(to_index) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    const double t = x - std::floor(x);
    const auto near = [](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };       // |d| ≤ 1
    const auto far = [](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };  // 1 < |d| < 2
    const double weights[4] = {far(t + 1), near(t), near(1 - t), far(2 - t)};
    for (int64_t i = 0; i < 4; ++i) {
      at[i] = std::clamp<int64_t>(static_cast<int64_t>(std::floor(x)) - 1 + i, 0, from - 1);
      weight[i] = weights[i];
    }
  }
};

}  // namespace

Tensor interpolate_positions(const Tensor& positions, int64_t rows, int64_t columns, int64_t first) {
  check(positions.rank() == 3 && positions.dim(0) == 1 && rows >= 1 && columns >= 1,
        "[vit] got positions {} for a grid of {} x {}, expected (1, {} + side², width)", positions.shape().text(), rows,
        columns, first);
  const int64_t patches = positions.dim(1) - first;
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(std::max<int64_t>(1, patches)))));
  check(side * side == patches, "[vit] got positions of {} patches, expected those of a square grid", patches);
  const int64_t width = positions.dim(2);
  const std::vector<double> table = positions.detach().values64();
  std::vector<double> values(static_cast<size_t>((first + rows * columns) * width), 0.0);
  std::copy_n(table.begin(), first * width, values.begin());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      const Cubic down(r, side, rows), along(c, side, columns);
      double* to = values.data() + (first + r * columns + c) * width;
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
          const double* from = table.data() + (first + down.at[i] * side + along.at[j]) * width;
          const double weight = down.weight[i] * along.weight[j];
          for (int64_t k = 0; k < width; ++k) to[k] += weight * from[k];
        }
    }
  return Tensor::from(std::span<const double>(values), {1, first + rows * columns, width})
      .to(positions.dtype())
      .to(positions.device());
}

Tensor add_positions(const Tensor& x, const Tensor& positions) {
  return add_row(x.flatten(), positions.flatten(0)).reshape(x.shape());
}

Tensor add_positions(const Tensor& x, const Tensor& positions, const Tensor& places) {
  return add(x, embedding(positions.reshape({positions.dim(1), positions.dim(2)}), places, x.dtype()));
}

VisionTransformer::VisionTransformer(const VitShape& shape, int64_t image_size, int64_t patch, ClassToken class_token,
                                     Random& random, double epsilon)
    : width_(shape.width), patch_(patch), class_token_(class_token), norm_(shape.width, epsilon) {
  check(patch >= 1 && image_size >= patch && image_size % patch == 0,
        "[vit] got patches of {} pixels for images of {}, expected a divisor; set --patch or --size", patch,
        image_size);
  side_ = image_size / patch;
  const bool has_class = class_token != ClassToken::none;
  if (has_class) cls_token_ = random.normal({1, 1, width_}, 0, 0.02).require_grad();
  pos_embed_ = has_class ? sincos_positions(side_, width_) : sincos_patch_positions(side_, width_);
  proj_weight_ = draw_weight({width_, patch, patch, 3}, WeightDraw::xavier, random);
  proj_bias_ = Tensor::zeros({width_}).require_grad();
  for (int64_t i = 0; i < shape.depth; ++i)
    blocks_.emplace_back(TransformerOptions{.width = width_, .heads = shape.heads, .epsilon = epsilon}, random);
}

Tensor VisionTransformer::embed(const Tensor& images, const Tensor& index, DType dtype) const {
  check(images.rank() == 4 && images.dim(1) >= patch_ && images.dim(2) >= patch_ && images.dim(1) % patch_ == 0 &&
            images.dim(2) % patch_ == 0,
        "[vit] got images {}, expected (B, H, W, 3) with H and W multiples of {}; set --patch or --size",
        images.shape().text(), patch_);
  const Shape matrix{width_, patch_ * patch_ * 3};
  Tensor weight = proj_weight_.reshape(matrix);
  if (const Tensor shadow = proj_weight_.shadow()) weight.set_shadow(shadow.reshape(matrix));
  return linear(gather_patches(images, index, patch_, dtype), weight, proj_bias_);
}

Tensor VisionTransformer::with_class(const Tensor& patches) const {
  return cls_token_ ? prepend_token(patches, cls_token_.reshape({width_})) : patches;
}

Tensor VisionTransformer::positions_for(const Tensor& images) const {
  const int64_t rows = images.dim(1) / patch_, columns = images.dim(2) / patch_;
  if (rows == side_ && columns == side_) return pos_embed_;
  Tensor& positions = other_grids_[{rows, columns}];
  if (!positions || positions.device() != pos_embed_.device())
    positions = interpolate_positions(pos_embed_, rows, columns, first_patch());
  return positions;
}

Tensor VisionTransformer::encode(const Tensor& x) const { return through(blocks_, x).normalized(norm_); }

Tensor VisionTransformer::tokens(const Tensor& images, DType dtype) const {
  return encode(add_positions(with_class(embed(images, {}, dtype)), positions_for(images)));
}

Tensor VisionTransformer::tokens(const Tensor& images, const PatchMask& mask, DType dtype) const {
  const Tensor& places = cls_token_ ? mask.places : mask.visible;
  return encode(add_positions(with_class(embed(images, mask.visible, dtype)), positions_for(images), places));
}

Tensor VisionTransformer::tokens(const Tensor& images, const Tensor& hidden, const Tensor& token, DType dtype) const {
  const Tensor x = replace_tokens(embed(images, {}, dtype), hidden, token);
  return encode(add_positions(with_class(x), positions_for(images)));
}

Tensor VisionTransformer::forward(const Tensor& images, bool) {
  const Tensor x = tokens(images, images.dtype());
  if (class_token_ == ClassToken::pooled) return slice_tokens(x, 0, 1).reshape({x.dim(0), width_});
  return global_average_pool(cls_token_ ? slice_tokens(x, 1, x.dim(1)) : x);
}

int64_t VisionTransformer::layer_of(const std::string& part) const {
  const std::string blocks = "blocks.";
  if (part.starts_with(blocks)) return std::stoll(part.substr(blocks.size())) + 1;
  return part.starts_with("norm.") ? layers() : 0;
}

void VisionTransformer::visit(Visitor& v) {
  if (cls_token_) v("cls_token", cls_token_);
  v.state("pos_embed", pos_embed_);
  v("patch_embed.proj.weight", proj_weight_);
  v("patch_embed.proj.bias", proj_bias_);
  v("blocks", blocks_);
  v("norm", norm_);
}

}  // namespace gestalt
