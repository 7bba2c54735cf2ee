// Attention with its gradient.
#include "engine/ops/attention.h"

#include "engine/autograd.h"
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
    kernels::launch(kernels::AttentionBackward{qkv.in(), y.in(), dy.in(), lse.in(), dqkv.out(), s}, dy.stream());
    return {dqkv};
  });
}

}  // namespace gestalt
