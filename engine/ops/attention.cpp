// Attention with its gradient.
#include "engine/ops/attention.h"

#include "engine/tensor/autograd.h"
#include "kernels/attention.h"

namespace gestalt {

Tensor attention(const Tensor& qkv, bool causal) {
  check(qkv.rank() == 5 && qkv.dim(2) == 3 && qkv.count() > 0, "[attention] got qkv {}, expected (B, T, 3, H, D)",
        qkv.shape().text());
  const kernels::AttentionShape s{qkv.dim(0), qkv.dim(1), qkv.dim(3), qkv.dim(4), causal};
  Tensor y = Tensor::empty({s.batch, s.length, s.heads * s.dim}, qkv.dtype(), qkv.device());
  Tensor lse = Tensor::empty({s.batch, s.heads, s.length}, accumulator_of(qkv.dtype()), qkv.device());
  kernels::launch(kernels::Attention{qkv.in(), y.out(), lse.out(), s}, qkv.stream());
  return record("attention", y, {qkv}, [qkv = qkv.detach(), y = y.detach(), lse, s](const Tensor& dy) -> Grads {
    Tensor dqkv = Tensor::empty(qkv.shape(), qkv.dtype(), qkv.device());
    kernels::launch(
        kernels::AttentionBackward{
            .qkv = qkv.in(), .y = y.in(), .dy = dy.in(), .lse = lse.in(), .dqkv = dqkv.out(), .shape = s},
        dy.stream());
    return {dqkv};
  });
}

Tensor cached_attention(const Tensor& qkv, Tensor& cache, int64_t first) {
  check(qkv.rank() == 5 && qkv.dim(2) == 3 && qkv.count() > 0,
        "[cached_attention] got qkv {}, expected (B, T, 3, H, D)", qkv.shape().text());
  const Shape rows = qkv.shape().with(2, 2).with(1, cache.rank() == 5 ? cache.dim(1) : 0);
  check(cache.shape() == rows && cache.dtype() == qkv.dtype() && cache.device() == qkv.device(),
        "[cached_attention] got a cache {} {}, expected {} (B, capacity, 2, H, D) for qkv {}", name(cache.dtype()),
        cache.shape().text(), name(qkv.dtype()), qkv.shape().text());
  check(first >= 0 && first <= cache.dim(1) - qkv.dim(1),
        "[cached_attention] got {} positions after {}, expected them to fit the cache's {}", qkv.dim(1), first,
        cache.dim(1));
  check(!recording({qkv}), "[cached_attention] has no gradient; call it under NoGrad");
  const kernels::AttentionShape s{qkv.dim(0), qkv.dim(1), qkv.dim(3), qkv.dim(4), true};
  Tensor y = Tensor::empty({s.batch, s.length, s.heads * s.dim}, qkv.dtype(), qkv.device());
  kernels::launch(
      kernels::CachedAttention{
          .qkv = qkv.in(), .cache = cache.out(), .y = y.out(), .shape = s, .first = first, .capacity = cache.dim(1)},
      qkv.stream());
  return y;
}

}  // namespace gestalt
