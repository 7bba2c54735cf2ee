// The costs of the kernels that training steps spend their time in.
#include "bench/cost.h"

#include <fmt/format.h>

#include <string_view>
#include <unordered_map>

#include "kernels/attention.h"
#include "kernels/batch_norm.h"
#include "kernels/conv.h"
#include "kernels/cosine.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/masked_loss.h"
#include "kernels/nt_xent.h"
#include "kernels/optimizer.h"
#include "kernels/patch.h"
#include "kernels/pool.h"
#include "kernels/product.h"
#include "kernels/rows.h"
#include "kernels/tokens.h"

namespace gestalt::bench {
namespace {

using namespace kernels;

Cost cost(const Product& k) {
  return {
      .flops = 2 * real(k.batch) * real(k.m) * real(k.n) * real(k.k),
      .bytes = traffic(k.batch * k.m * k.k, k.a) + traffic(k.batch * k.k * k.n, k.b) +
               traffic(k.batch * k.m * k.n, k.c, k.gelu),
      .shape = fmt::format("{}{}·{} × {}·{}{}", k.batch > 1 ? fmt::format("{} of ", k.batch) : "", k.m, k.k, k.k, k.n,
                           k.transpose_a   ? " (aᵀ)"
                           : k.transpose_b ? " (bᵀ)"
                                           : "")};
}

Cost convolution(const ConvShape& s, DType dtype, DType weights) {
  const int64_t x = s.batch * s.height * s.width * s.in_channels;
  const int64_t y = s.batch * s.out_height() * s.out_width() * s.out_channels;
  const int64_t taps = s.kernel_height * s.kernel_width * s.in_channels;
  return {.flops = 2 * real(y) * real(taps),
          .bytes = real(x + y) * real(size_of(dtype)) + real(s.out_channels * taps) * real(size_of(weights)),
          .shape = fmt::format("{}×{}×{}: {} to {}, {}×{} stride {}", s.batch, s.height, s.width, s.in_channels,
                               s.out_channels, s.kernel_height, s.kernel_width, s.stride)};
}
Cost cost(const Conv& k) { return convolution(k.shape, k.x.dtype, k.w.dtype); }
Cost cost(const ConvBackwardInput& k) { return convolution(k.shape, k.dy.dtype, k.w.dtype); }
Cost cost(const ConvBackwardWeights& k) { return convolution(k.shape, k.x.dtype, k.dw.dtype); }

// Two products of (length, length) by (length, dim) forward, four backward: recomputing the scores is no need.
Cost attention(const AttentionShape& s, DType dtype, double products, double tensors) {
  const double seen = real(s.length) * real(s.causal ? s.length + 1 : 2 * s.length) / 2;  // (query, key) pairs
  const double one = real(s.batch * s.heads * s.dim);
  return {
      .flops = 2 * products * seen * one,
      .bytes = tensors * one * real(s.length) * real(size_of(dtype)),
      .shape = fmt::format("{} of {} heads, {} × {}{}", s.batch, s.heads, s.length, s.dim, s.causal ? ", causal" : "")};
}
Cost cost(const Attention& k) { return attention(k.shape, k.qkv.dtype, 2, 4); }
Cost cost(const AttentionBackward& k) { return attention(k.shape, k.qkv.dtype, 4, 8); }

Cost cost(const NtXent& k) {
  return {.flops = 2 * real(k.rows) * real(k.rows) * real(k.dim), .bytes = traffic(k.rows * k.dim, k.z)};
}
Cost cost(const NtXentBackward& k) {
  return {.flops = 2 * real(k.rows) * real(k.rows) * real(k.dim), .bytes = traffic(k.rows * k.dim, k.z, k.dz)};
}

// In training the statistics need all of x before any of it can be normalised.
Cost cost(const BatchNorm& k) {
  const int64_t n = k.rows * k.channels;
  return {.bytes = traffic(n, k.x, k.residual, k.y) + (k.training ? traffic(n, k.x) : 0),
          .shape = fmt::format("{} × {}{}{}", k.rows, k.channels, k.relu ? ", ReLU" : "", k.residual ? ", sum" : "")};
}
Cost cost(const BatchNormBackward& k) {
  const int64_t n = k.rows * k.channels;
  return {.bytes = (k.training ? 2 : 1) * traffic(n, k.x, k.dy, k.y) + traffic(n, k.dx, k.dresidual),
          .shape = fmt::format("{} × {}{}{}", k.rows, k.channels, k.y ? ", ReLU" : "", k.dresidual ? ", sum" : "")};
}
Cost cost(const LayerNorm& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.residual, k.sum, k.y)}; }
Cost cost(const LayerNormBackward& k) { return {.bytes = traffic(k.rows * k.columns, k.h, k.dy, k.dsum, k.dx)}; }
Cost cost(const Softmax& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.y)}; }
Cost cost(const SoftmaxBackward& k) { return {.bytes = traffic(k.rows * k.columns, k.y, k.dy, k.dx)}; }
Cost cost(const Normalize& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.y)}; }
Cost cost(const NormalizeBackward& k) { return {.bytes = traffic(k.rows * k.columns, k.y, k.dy, k.dx)}; }

Cost cost(const Fill& k) { return {.bytes = traffic(k.count, k.y)}; }
Cost cost(const Convert& k) { return {.bytes = traffic(k.count, k.x, k.y)}; }
Cost cost(const Combine& k) { return {.bytes = traffic(k.count, k.a, k.b, k.y)}; }
Cost cost(const Multiply& k) { return {.bytes = traffic(k.count, k.a, k.b, k.y)}; }
Cost cost(const Pointwise& k) { return {.bytes = traffic(k.count, k.x, k.y)}; }
Cost cost(const PointwiseBackward& k) { return {.bytes = traffic(k.count, k.x, k.dy, k.dx)}; }
Cost cost(const Sum& k) { return {.bytes = traffic(k.count, k.x)}; }
Cost cost(const ColumnSum& k) { return {.bytes = traffic(k.rows * k.columns, k.x)}; }
Cost cost(const AddRow& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.y)}; }
Cost cost(const Dropout& k) { return {.bytes = traffic(k.count, k.x, k.y)}; }
Cost cost(const CopyBlocks& k) { return {.bytes = traffic(k.batch * k.count, k.x, k.y)}; }
Cost cost(const GatherRows& k) { return {.bytes = traffic(k.pick.batch * k.pick.picked * k.pick.columns, k.x, k.y)}; }
Cost cost(const ScatterRows& k) {
  return {.bytes = traffic(k.pick.batch * k.pick.picked * k.pick.columns, k.x) +
                   traffic(k.pick.batch * k.pick.length * k.pick.columns, k.y)};
}
Cost cost(const FillRows& k) {
  return {.bytes = traffic(k.pick.batch * k.pick.picked * k.pick.columns, k.x) +
                   traffic(k.pick.batch * k.pick.length * k.pick.columns, k.y)};
}
Cost cost(const FillRowsBackward& k) {
  return {.bytes = traffic(k.pick.batch * (k.pick.length - k.pick.picked) * k.pick.columns, k.dy)};
}
Cost cost(const GatherPatches& k) { return {.bytes = traffic(k.grid.batch * k.picked * k.grid.size(), k.images, k.y)}; }

Cost cost(const MaxPool& k) {
  const PoolShape& s = k.shape;
  return {.bytes = traffic(s.batch * s.height * s.width * s.channels, k.x) +
                   traffic(s.batch * s.out_height() * s.out_width() * s.channels, k.y, k.index)};
}
Cost cost(const GlobalAveragePool& k) {
  return {.bytes = traffic(k.batch * k.positions * k.channels, k.x) + traffic(k.batch * k.channels, k.y)};
}
Cost cost(const GlobalAveragePoolBackward& k) {
  return {.bytes = traffic(k.batch * k.positions * k.channels, k.dx) + traffic(k.batch * k.channels, k.dy)};
}

Cost cost(const CosineLoss& k) { return {.bytes = traffic(k.rows * k.dim, k.p, k.z)}; }
Cost cost(const CosineLossBackward& k) { return {.bytes = traffic(k.rows * k.dim, k.p, k.z, k.dp, k.dz)}; }
Cost cost(const CrossEntropy& k) { return {.bytes = traffic(k.rows * k.classes, k.logits)}; }
Cost cost(const CrossEntropyBackward& k) { return {.bytes = traffic(k.rows * k.classes, k.logits, k.dlogits)}; }
Cost cost(const MaskedLoss& k) {
  return {.bytes = traffic(k.of.grid.batch * k.of.count * k.of.grid.size(), k.of.predictions, k.of.images)};
}
Cost cost(const MaskedLossBackward& k) {
  return {.bytes = traffic(k.of.grid.batch * k.of.count * k.of.grid.size(), k.of.predictions, k.of.images) +
                   traffic(k.of.grid.batch * k.of.grid.patches() * k.of.grid.size(), k.dpredictions)};
}

Cost cost(const GradNorm& k) { return {.bytes = traffic(k.count, k.grads)}; }
Cost cost(const EmaStep& k) { return {.bytes = traffic(k.count, k.teacher, k.teacher, k.student, k.shadows)}; }
Cost cost(const SgdStep& k) {
  const int64_t n = k.segments[k.segment_count - 1].end;
  return {.bytes = traffic(n, k.weights, k.weights, k.moments, k.moments, k.grads, k.shadows)};
}
Cost cost(const AdamwStep& k) {
  const int64_t n = k.segments[k.segment_count - 1].end;
  return {.bytes = traffic(n, k.weights, k.weights, k.first, k.first, k.second, k.second, k.grads, k.shadows)};
}

template <class Args>
Cost cost_of_args(const void* args) {
  return cost(*static_cast<const Args*>(args));
}

}  // namespace

Cost cost_of(const char* kernel, const void* args, Stream stream) {
#define GESTALT_COST(Args) \
  { #Args, &cost_of_args < Args> }
  static const std::unordered_map<std::string_view, Cost (*)(const void*)> costs{
      GESTALT_COST(Product),
      GESTALT_COST(Conv),
      GESTALT_COST(ConvBackwardInput),
      GESTALT_COST(ConvBackwardWeights),
      GESTALT_COST(Attention),
      GESTALT_COST(AttentionBackward),
      GESTALT_COST(NtXent),
      GESTALT_COST(NtXentBackward),
      GESTALT_COST(BatchNorm),
      GESTALT_COST(BatchNormBackward),
      GESTALT_COST(LayerNorm),
      GESTALT_COST(LayerNormBackward),
      GESTALT_COST(Softmax),
      GESTALT_COST(SoftmaxBackward),
      GESTALT_COST(Normalize),
      GESTALT_COST(NormalizeBackward),
      GESTALT_COST(Fill),
      GESTALT_COST(Convert),
      GESTALT_COST(Combine),
      GESTALT_COST(Multiply),
      GESTALT_COST(Pointwise),
      GESTALT_COST(PointwiseBackward),
      GESTALT_COST(Sum),
      GESTALT_COST(ColumnSum),
      GESTALT_COST(AddRow),
      GESTALT_COST(Dropout),
      GESTALT_COST(CopyBlocks),
      GESTALT_COST(GatherRows),
      GESTALT_COST(ScatterRows),
      GESTALT_COST(FillRows),
      GESTALT_COST(FillRowsBackward),
      GESTALT_COST(GatherPatches),
      GESTALT_COST(MaxPool),
      GESTALT_COST(GlobalAveragePool),
      GESTALT_COST(GlobalAveragePoolBackward),
      GESTALT_COST(CosineLoss),
      GESTALT_COST(CosineLossBackward),
      GESTALT_COST(CrossEntropy),
      GESTALT_COST(CrossEntropyBackward),
      GESTALT_COST(MaskedLoss),
      GESTALT_COST(MaskedLossBackward),
      GESTALT_COST(GradNorm),
      GESTALT_COST(EmaStep),
      GESTALT_COST(SgdStep),
      GESTALT_COST(AdamwStep)};
#undef GESTALT_COST
  const std::string_view name(kernel);
  // The list of segments, which says how many elements an update has, lies on the device.
  if (stream.device != Device::cpu && (name == "SgdStep" || name == "AdamwStep")) return {};
  const auto found = costs.find(name);
  return found == costs.end() ? Cost{} : found->second(args);
}

}  // namespace gestalt::bench
