// GPT: construction, forward pass and generation.
#include "models/gpt.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/cross_entropy.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"

namespace gestalt {

void GptOptions::fields(Fields& f) {
  f("layers", layers, "Transformer blocks", between(1, 1000));
  f("heads", heads, "attention heads of a block", between(1, 1 << 20));
  f("width", width, "features of a token; a multiple of the heads", between(1, 1 << 20));
  f("context", context, "tokens that the model sees", between(1, 1 << 20));
  f("norm-epsilon", epsilon, "added to the variance in layer norms", at_least(0));
}

Gpt::Gpt(const GptOptions& options, int64_t vocabulary, Random& random, int64_t rows)
    : options_(options), vocabulary_(vocabulary), norm_(options.width, options.epsilon) {
  if (rows == 0) rows = vocabulary;
  check(options.layers >= 1 && options.context >= 1 && vocabulary >= 1 && rows >= vocabulary,
        "[gpt] got {} layers, a context of {}, a vocabulary of {} and {} rows, expected 1 or more and rows for each "
        "token",
        options.layers, options.context, vocabulary, rows);
  const double factor = 1 / std::sqrt(2.0 * static_cast<double>(options.layers));
  const TransformerOptions block{.width = options.width,
                                 .heads = options.heads,
                                 .causal = true,
                                 .gelu_tanh = true,
                                 .epsilon = options.epsilon,
                                 .draw = WeightDraw::normal,
                                 .residual_factor = factor};
  wte = draw_weight({rows, options.width}, WeightDraw::normal, random);
  wpe = draw_weight({options.context, options.width}, WeightDraw::normal, random);
  for (int64_t i = 0; i < options.layers; ++i) blocks_.emplace_back(block, random);
}

Tensor Gpt::embed(const Tensor& tokens, int64_t first, DType dtype) const {
  check(tokens.rank() == 2 && tokens.count() > 0 && first + tokens.dim(1) <= options_.context,
        "[gpt] got tokens {} after {} others, expected (B, T) within the context of {}", tokens.shape().text(), first,
        options_.context);
  const int64_t batch = tokens.dim(0), length = tokens.dim(1), row = length * options_.width;
  const Tensor x = embedding(wte, tokens, dtype).reshape({batch, row});
  const Tensor positions = wpe.slice(first, first + length).reshape({row});
  return add_row(x, positions).reshape({batch, length, options_.width});
}

Tensor Gpt::operator()(const Tensor& tokens, DType dtype, DropoutSites& drop) const {
  const Tensor x = drop(embed(tokens, 0, dtype));
  return linear(through(blocks_, x, drop).normalized(norm_), wte);
}

std::vector<KeyValueCache> Gpt::make_caches(int64_t batch, DType dtype) const {
  std::vector<KeyValueCache> caches;
  for (const TransformerBlock& block : blocks_) caches.push_back(block.make_cache(batch, options_.context, dtype));
  return caches;
}

Tensor Gpt::extend(const Tensor& tokens, std::vector<KeyValueCache>& caches) const {
  check(caches.size() == blocks_.size(), "[gpt] got {} caches, expected {}", caches.size(), blocks_.size());
  const NoGrad no_grad;
  Tensor x = embed(tokens, caches[0].length, caches[0].rows.dtype());
  for (size_t i = 0; i < blocks_.size(); ++i) x = blocks_[i].extend(x, caches[i]);
  const Tensor last = slice_tokens(x, x.dim(1) - 1, x.dim(1)).reshape({x.dim(0), x.dim(2)});
  return linear(norm_(last), wte);
}

void Gpt::visit(Visitor& v) {
  v("wte.weight", wte);
  v("wpe.weight", wpe);
  v("h", blocks_);
  v("ln_f", norm_);
}

std::vector<int32_t> generate(const Gpt& model, std::span<const int32_t> prompt, int64_t count,
                              const SamplingOptions& options, DType dtype, std::optional<int32_t> stop,
                              const std::function<void(int32_t)>& each) {
  check(!prompt.empty(), "[generate] got an empty prompt, expected at least one token");
  options.validate();
  const auto context = static_cast<size_t>(model.options().context);
  std::vector<int32_t> tokens(prompt.begin(), prompt.end());
  std::vector<KeyValueCache> caches = model.make_caches(1, dtype);
  const auto extend = [&](size_t last) {
    const std::span<const int32_t> ids = std::span(tokens).last(last);
    return model.extend(Tensor::from(ids, {1, static_cast<int64_t>(last)}).to(model.device()), caches).values();
  };
  std::vector<float> logits;
  for (int64_t i = 0; i < count; ++i) {
    const bool full = caches[0].length == model.options().context;
    if (full)
      for (KeyValueCache& cache : caches) cache.length = 0;
    if (i == 0)
      logits = extend(std::min(tokens.size(), context));
    else
      logits = extend(full ? std::max<size_t>(1, context / 2) : 1);
    logits.resize(static_cast<size_t>(model.vocabulary()));
    tokens.push_back(sample(logits, options, static_cast<uint64_t>(i)));
    if (each) each(tokens.back());
    if (stop && tokens.back() == *stop) break;
  }
  return {tokens.begin() + static_cast<int64_t>(prompt.size()), tokens.end()};
}

double token_loss(const Gpt& model, const Tensor& tokens, const Tensor& targets, DType dtype) {
  const NoGrad no_grad;
  DropoutSites none;
  return cross_entropy(model(tokens.to(model.device()), dtype, none), targets.to(model.device())).item();
}

}  // namespace gestalt
