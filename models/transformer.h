// The pre-norm Transformer block that ViT and GPT are made of.
#pragma once

#include "engine/nn/layers.h"
#include "kernels/varying.h"

namespace gestalt {

// How a matrix begins: normal of deviation 0.02 (GPT-2), the same cut at two deviations (ViT), or uniform in
// ±√(6 / (in + out)) (Glorot and Bengio 2010; MAE).
enum class WeightDraw { normal, truncated, xavier };
Tensor draw_weight(const Shape& shape, WeightDraw draw, Random& random, double factor = 1);  // rank 2 and more

// A Linear whose weight is drawn so, times `factor`, and whose bias is 0.
Linear make_linear(int64_t in, int64_t out, WeightDraw draw, Random& random, double factor = 1);

struct TransformerOptions {
  int64_t width = 192, heads = 3;
  int64_t hidden = 0;      // of the MLP; 0: 4·width
  bool causal = false;     // a position sees itself and those before
  bool gelu_tanh = false;  // GPT-2's form of GELU; else exact
  double epsilon = 1e-6;   // of the layer norms
  WeightDraw draw = WeightDraw::xavier;
  double residual_factor = 1;  // on the initial weights of attn.proj and mlp.fc2; GPT-2 has 1/√(2·layers)
};

// Dropout along one forward pass: each call is the next site, with its own mask. Without a probability, nothing.
struct DropoutSites {
  double p = 0;
  uint64_t seed = 0;
  kernels::Varying<uint64_t> step = {};
  uint32_t slot = 0;
  Tensor operator()(const Tensor& x);
};

// Keys and values of the positions that a block has seen, for generation.
struct KeyValueCache {
  Tensor rows;         // (B, capacity, 2, heads, D)
  int64_t length = 0;  // positions filled
};

// What goes from block to block: x, and a branch that is still to be added to it, or none. The norm that comes next
// adds it in its own pass.
struct Residual {
  Tensor x, branch;
  Tensor sum() const;
  Tensor normalized(const LayerNorm& norm) const;  // norm(sum())
};

// x + attention(norm1(x)), then that + mlp(norm2(that)); Vaswani et al. 2017 with the norms first (Radford et al.
// 2019). Part names are timm's.
class TransformerBlock : public Module {
 public:
  TransformerBlock(const TransformerOptions& options, Random& random);
  // (B, T, width) → the same; dropout after the projections of both branches.
  Residual operator()(const Residual& x, DropoutSites& drop) const;
  // The same for the T positions that follow those in `cache`, which it extends. Causal; without gradients.
  Tensor extend(const Tensor& x, KeyValueCache& cache) const;
  KeyValueCache make_cache(int64_t batch, int64_t capacity, DType dtype) const;  // on the block's device
  void visit(Visitor& v) override;

  LayerNorm norm1, norm2;
  Linear qkv, proj, fc1, fc2;  // qkv: (3·width, width), queries first; head h has columns [h·D, (h+1)·D) of each

 private:
  Tensor queries_keys_values(const Tensor& normalized) const;                        // (B, T, 3, heads, D)
  Residual join(const Tensor& x, const Tensor& attended, DropoutSites& drop) const;  // the rest of the block

  int64_t heads_;
  bool causal_, gelu_tanh_;
};

// x (B, T, width) through all blocks.
Residual through(const std::vector<TransformerBlock>& blocks, const Tensor& x, DropoutSites& drop);
Residual through(const std::vector<TransformerBlock>& blocks, const Tensor& x);

}  // namespace gestalt
