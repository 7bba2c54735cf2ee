// GPT-2 (Radford et al. 2019): a causal Transformer that predicts each token from those before it.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/run/fields.h"
#include "models/sampling.h"
#include "models/transformer.h"

namespace gestalt {

struct GptOptions {
  int64_t layers = 12, heads = 12, width = 768, context = 1024;
  double epsilon = 1e-5;  // of the layer norms

  void fields(Fields& f);
};

// Learned positions, `layers` blocks, a last norm, and logits by the transposed token table. Begins as GPT-2 does:
// matrices and tables normal with deviation 0.02, the projections that end each branch that over √(2·layers).
class Gpt : public Module {
 public:
  // `rows` of the token table may be more than `vocabulary`: the rest are never a token. 0: as many.
  Gpt(const GptOptions& options, int64_t vocabulary, Random& random, int64_t rows = 0);

  // tokens (B, T) i32, T ≤ context → logits (B, T, rows) in `dtype`.
  Tensor operator()(const Tensor& tokens, DType dtype, DropoutSites& drop) const;
  // For generation, without gradients: the tokens (B, T) that follow those in the caches, one a block → the logits of
  // the last (B, rows).
  std::vector<KeyValueCache> make_caches(int64_t batch, DType dtype) const;
  Tensor extend(const Tensor& tokens, std::vector<KeyValueCache>& caches) const;

  const GptOptions& options() const { return options_; }
  int64_t vocabulary() const { return vocabulary_; }
  Device device() const { return wte.device(); }
  void visit(Visitor& v) override;

  Tensor wte, wpe;  // (rows, width), (context, width)

 private:
  Tensor embed(const Tensor& tokens, int64_t first, DType dtype) const;  // tokens at positions first, first + 1, …

  GptOptions options_;
  int64_t vocabulary_;
  std::vector<TransformerBlock> blocks_;
  LayerNorm norm_;
};

// `count` tokens that continue `prompt`, drawn one by one; `each` is told every one. Ends early after `stop`. Where the
// context is full, generation goes on from its last half. The same seed, prompt and model give the same tokens.
std::vector<int32_t> generate(const Gpt& model, std::span<const int32_t> prompt, int64_t count,
                              const SamplingOptions& options, DType dtype, std::optional<int32_t> stop = {},
                              const std::function<void(int32_t)>& each = {});

// The mean of −ln p(token | those before it in its window) for tokens (B, T) and targets (B, T), without gradients.
double token_loss(const Gpt& model, const Tensor& tokens, const Tensor& targets, DType dtype);

}  // namespace gestalt
