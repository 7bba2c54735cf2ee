// Transformer block: construction and forward pass.
#include "models/transformer.h"

#include <cmath>

#include "engine/ops/attention.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/tensor/autograd.h"

namespace gestalt {

Tensor draw_weight(const Shape& shape, WeightDraw draw, Random& random, double factor) {
  constexpr double deviation = 0.02;
  Tensor weight;
  if (draw == WeightDraw::normal) weight = random.normal(shape, 0, factor * deviation);
  if (draw == WeightDraw::truncated) weight = random.truncated_normal(shape, factor * deviation);
  if (draw == WeightDraw::xavier) {
    const int64_t out = shape[0], in = shape.count() / out;
    const double bound = factor * std::sqrt(6.0 / static_cast<double>(in + out));
    weight = random.uniform(shape, -bound, bound);
  }
  return weight.require_grad();
}

Linear make_linear(int64_t in, int64_t out, WeightDraw draw, Random& random, double factor) {
  Linear linear;
  linear.weight = draw_weight({out, in}, draw, random, factor);
  linear.bias = Tensor::zeros({out}).require_grad();
  return linear;
}

namespace {

SumAndNorm normalized_sum(const Residual& r, const LayerNorm& norm) {
  if (!r.branch) return {r.x, norm(r.x)};
  return residual_layer_norm(r.x, r.branch, norm.weight, norm.bias, norm.epsilon);
}

}  // namespace

Tensor Residual::sum() const { return branch ? add(x, branch) : x; }
Tensor Residual::normalized(const LayerNorm& norm) const { return normalized_sum(*this, norm).normalized; }

Tensor DropoutSites::operator()(const Tensor& x) { return p > 0 ? dropout(x, p, seed, step, slot++) : x; }

TransformerBlock::TransformerBlock(const TransformerOptions& options, Random& random)
    : norm1(options.width, options.epsilon),
      norm2(options.width, options.epsilon),
      heads_(options.heads),
      causal_(options.causal),
      gelu_tanh_(options.gelu_tanh) {
  const int64_t width = options.width, hidden = options.hidden > 0 ? options.hidden : 4 * width;
  check(options.heads >= 1 && width >= 1 && width % options.heads == 0,
        "[transformer] got a width of {} and {} heads, expected a multiple of the heads", width, options.heads);
  qkv = make_linear(width, 3 * width, options.draw, random);
  proj = make_linear(width, width, options.draw, random, options.residual_factor);
  fc1 = make_linear(width, hidden, options.draw, random);
  fc2 = make_linear(hidden, width, options.draw, random, options.residual_factor);
}

Tensor TransformerBlock::queries_keys_values(const Tensor& normalized) const {
  const Tensor& x = normalized;
  check(x.rank() == 3 && x.dim(2) == proj.weight.dim(0), "[transformer] got x {}, expected (B, T, {})",
        x.shape().text(), proj.weight.dim(0));
  return qkv(x).reshape({x.dim(0), x.dim(1), 3, heads_, x.dim(2) / heads_});
}

Residual TransformerBlock::join(const Tensor& x, const Tensor& attended, DropoutSites& drop) const {
  const auto [sum, normalized] = normalized_sum({x, drop(proj(attended))}, norm2);
  const Tensor hidden = gelu_tanh_ ? linear_gelu_tanh(normalized, fc1.weight, fc1.bias)
                                   : linear_gelu(normalized, fc1.weight, fc1.bias);  // (B, T, 4·width)
  return {sum, drop(fc2(hidden))};
}

Residual TransformerBlock::operator()(const Residual& x, DropoutSites& drop) const {
  const auto [sum, normalized] = normalized_sum(x, norm1);
  return join(sum, attention(queries_keys_values(normalized), causal_), drop);
}

Tensor TransformerBlock::extend(const Tensor& x, KeyValueCache& cache) const {
  check(causal_, "[transformer] only a causal block can be extended");
  DropoutSites none;
  const Tensor attended = cached_attention(queries_keys_values(norm1(x)), cache.rows, cache.length);
  cache.length += x.dim(1);
  return join(x, attended, none).sum();
}

Residual through(const std::vector<TransformerBlock>& blocks, const Tensor& x, DropoutSites& drop) {
  Residual r{x, {}};
  for (const TransformerBlock& block : blocks) r = block(r, drop);
  return r;
}

Residual through(const std::vector<TransformerBlock>& blocks, const Tensor& x) {
  DropoutSites none;
  return through(blocks, x, none);
}

KeyValueCache TransformerBlock::make_cache(int64_t batch, int64_t capacity, DType dtype) const {
  const int64_t width = proj.weight.dim(0);
  return {Tensor::empty({batch, capacity, 2, heads_, width / heads_}, dtype, proj.weight.device()), 0};
}

void TransformerBlock::visit(Visitor& v) {
  v("norm1", norm1);
  v("attn.qkv", qkv);
  v("attn.proj", proj);
  v("norm2", norm2);
  v("mlp.fc1", fc1);
  v("mlp.fc2", fc2);
}

}  // namespace gestalt
