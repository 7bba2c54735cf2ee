// Newton-Schulz iterations over the matrices of an arena.
#include "engine/nn/muon.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/elementwise.h"
#include "kernels/muon.h"
#include "kernels/product.h"

namespace gestalt {

bool is_hidden_matrix(const std::string& name, const Shape& shape) {
  if (shape.rank() < 2 || shape[0] < 2 || shape.count() / shape[0] < 2) return false;
  constexpr std::array<const char*, 8> others{"embed", "wte", "wpe", "token", "head", "pred", "last", "prototypes"};
  return std::none_of(others.begin(), others.end(),
                      [&](const char* part) { return name.find(part) != std::string::npos; });
}

Muon::Muon(ParameterArena& arena, double momentum, double clip)
    : arena_(arena),
      momentum_(static_cast<float>(momentum)),
      clip_(static_cast<float>(clip)),
      compute_(arena.shadows ? arena.shadows.dtype() : DType::f32),
      squared_norm_(Tensor::zeros({2}, DType::f64).to(arena.weights.device())) {
  check(momentum >= 0 && momentum < 1, "[muon] got --muon-momentum {}, expected 0 or more and under 1", momentum);
  for (size_t i = 0; i < arena.names.size(); ++i)
    if (const Shape& shape = arena.shapes[i]; is_hidden_matrix(arena.names[i], shape))
      matrices_.push_back({i, shape[0], shape.count() / shape[0]});
  check(!matrices_.empty(), "[muon] got no hidden weight matrix among {} parts; use --optimizer adamw",
        arena.names.size());
  std::vector<size_t> taken;
  for (const Matrix& m : matrices_) taken.push_back(m.part);
  arena.leave_to_another(taken);
}

// X ← a·X + (b·G + c·G²)·X five times, from X = direction / ‖direction‖, with G = X·Xᵀ; of the smaller Gram matrix.
Tensor Muon::orthogonal(const Tensor& direction, const Matrix& m) {
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  constexpr int iterations = 5;
  const Stream stream = direction.stream();
  const Device device = direction.device();
  const bool tall = m.rows > m.columns;
  const int64_t side = std::min(m.rows, m.columns);

  kernels::launch(kernels::GradNorm{direction.in(), squared_norm_.out(), direction.count()}, stream);
  Tensor x = Tensor::empty({m.rows, m.columns}, compute_, device), y = Tensor::empty(x.shape(), compute_, device);
  kernels::launch(kernels::ToUnitNorm{direction.in(), squared_norm_.in(), x.out(), x.count()}, stream);

  Tensor gram = Tensor::empty({side, side}, compute_, device), square = Tensor::empty(gram.shape(), compute_, device);
  const auto combine = [&](double s, const Tensor& of, double t, const Tensor& and_of, Tensor& to) {
    kernels::launch(kernels::Combine{of.in(), and_of.in(), to.out(), s, t, to.count()}, stream);
  };
  for (int i = 0; i < iterations; ++i) {
    kernels::launch(kernels::Product{.a = x.in(),
                                     .b = x.in(),
                                     .bias = {},
                                     .c = gram.out(),
                                     .m = side,
                                     .n = side,
                                     .k = std::max(m.rows, m.columns),
                                     .transpose_a = tall,
                                     .transpose_b = !tall},
                    stream);
    kernels::launch(
        kernels::Product{
            .a = gram.in(), .b = gram.in(), .bias = {}, .c = square.out(), .m = side, .n = side, .k = side},
        stream);
    combine(b, gram, c, square, gram);
    kernels::launch(kernels::Product{.a = tall ? x.in() : gram.in(),
                                     .b = tall ? gram.in() : x.in(),
                                     .bias = {},
                                     .c = y.out(),
                                     .m = m.rows,
                                     .n = m.columns,
                                     .k = side},
                    stream);
    combine(a, x, 1, y, x);
  }
  return x;
}

void Muon::update(const Tensor& moments, const Tensor& squared_norm,
                  const kernels::Varying<kernels::UpdateNumbers>& numbers) {
  const Stream stream = arena_.weights.stream();
  for (const Matrix& m : matrices_) {
    const kernels::Segment& at = arena_.layout[m.part];
    const auto part = [&](const Tensor& of) { return of.slice(at.begin, at.end); };
    Tensor direction = Tensor::empty({m.rows * m.columns}, DType::f32, arena_.weights.device());
    kernels::launch(kernels::MuonDirection{.moments = part(moments).out(),
                                           .direction = direction.out(),
                                           .grads = part(arena_.grads).in(),
                                           .squared_norm = clip_ > 0 ? squared_norm.in() : In{},
                                           .numbers = numbers,
                                           .first_step = at.first_step,
                                           .count = direction.count(),
                                           .momentum = momentum_,
                                           .max_norm = clip_},
                    stream);
    const Tensor along = orthogonal(direction, m);
    kernels::launch(kernels::MuonStep{.weights = part(arena_.weights).out(),
                                      .shadows = arena_.shadows ? part(arena_.shadows).out() : Out{},
                                      .direction = along.in(),
                                      .numbers = numbers,
                                      .first_step = at.first_step,
                                      .count = direction.count(),
                                      .rate_scale = at.rate_scale,
                                      .decay_scale = at.decay_scale,
                                      .scale = static_cast<float>(
                                          0.2 * std::sqrt(static_cast<double>(std::max(m.rows, m.columns))))},
                    stream);
  }
}

}  // namespace gestalt
