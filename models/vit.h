// Vision Transformers (Dosovitskiy et al. 2021) with fixed sine-cosine positions, as MAE has them.
#pragma once

#include <map>
#include <utility>

#include "engine/ops/patch.h"
#include "models/encoder.h"
#include "models/transformer.h"

namespace gestalt {

struct VitShape {
  std::string name, summary;
  int64_t width, depth, heads;
};
const std::vector<VitShape>& vit_shapes();

// (1, 1 + side², width): 0 for the class token, then for the patch in row r and column c the sines and cosines of c,
// then those of r, at width / 4 frequencies from 1 to 1/10000; MAE's get_2d_sincos_pos_embed. `width` is a multiple
// of 4.
Tensor sincos_positions(int64_t side, int64_t width);

// The same without the class token's: (1, side², width).
Tensor sincos_patch_positions(int64_t side, int64_t width);

// Positions (1, first + side², width) of a square grid for one of other (rows, columns), → (1, first + rows·columns,
// width): the first `first` rows as they are, the others by bicubic interpolation as PyTorch has it (a = −0.75,
// align_corners = False, no antialiasing). Without gradients, computed on the host; the result is on the device of
// `positions`.
Tensor interpolate_positions(const Tensor& positions, int64_t rows, int64_t columns, int64_t first = 1);

// x (B, T, D) + positions (1, T, D), which are not trained.
Tensor add_positions(const Tensor& x, const Tensor& positions);
// The same where x holds only the tokens that stand at `places` (B, T).
Tensor add_positions(const Tensor& x, const Tensor& positions, const Tensor& places);

// What a ViT has a class token for: forward() gives it; it takes part, but forward() gives the mean of the patch
// tokens; there is none, and forward() gives that mean.
enum class ClassToken { pooled, unpooled, none };

// Part names are timm's. Matrices begin as MAE's do (Xavier uniform), the class token normal with deviation 0.02.
// Images may have any height and width that the patch divides; positions of another grid than that of `image_size` are
// interpolated from its table. The table is fixed, a state that no gradient reaches, so each grid's is computed once,
// at the first images of that size.
class VisionTransformer : public Encoder {
 public:
  VisionTransformer(const VitShape& shape, int64_t image_size, int64_t patch, ClassToken class_token, Random& random,
                    double epsilon = 1e-6);

  Tensor forward(const Tensor& images, bool training) override;
  int64_t features() const override { return width_; }
  int64_t layers() const override { return static_cast<int64_t>(blocks_.size()) + 1; }
  int64_t layer_of(const std::string& part) const override;
  void visit(Visitor& v) override;

  // All tokens after the last norm, the class token, if any, first: (B, first_patch() + patches(), width) in `dtype`.
  Tensor tokens(const Tensor& images, DType dtype) const;
  // Those of the class and of the visible patches alone: (B, first_patch() + K, width).
  Tensor tokens(const Tensor& images, const PatchMask& mask, DType dtype) const;
  // All, with `token` (width) in the place of the patches where `hidden`, i32 (B, patches()), is 1.
  Tensor tokens(const Tensor& images, const Tensor& hidden, const Tensor& token, DType dtype) const;

  int64_t patch() const { return patch_; }
  int64_t side() const { return side_; }  // patches along an edge of the image
  int64_t patches() const { return side_ * side_; }
  int64_t first_patch() const { return class_token_ == ClassToken::none ? 0 : 1; }  // its place among the tokens

 private:
  Tensor embed(const Tensor& images, const Tensor& index, DType dtype) const;  // (B, K, width)
  Tensor with_class(const Tensor& patches) const;                              // (B, first_patch() + K, width)
  Tensor positions_for(const Tensor& images) const;  // (1, first_patch() + patches of the images, width)
  Tensor encode(const Tensor& x) const;

  int64_t width_, patch_, side_;
  ClassToken class_token_;
  Tensor cls_token_, pos_embed_;    // (1, 1, width) if there is one, (1, first_patch() + patches, width)
  Tensor proj_weight_, proj_bias_;  // (width, patch, patch, 3), (width)
  mutable std::map<std::pair<int64_t, int64_t>, Tensor> other_grids_;  // interpolated positions by (rows, columns)
  std::vector<TransformerBlock> blocks_;
  LayerNorm norm_;
};

}  // namespace gestalt
