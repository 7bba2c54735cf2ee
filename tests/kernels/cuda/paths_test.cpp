// Kernels on CUDA at lengths, addresses and operands that take every path, against the CPU.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <tuple>
#include <vector>

#include "engine/tensor/tensor.h"
#include "kernels/elementwise.h"
#include "kernels/product.h"
#include "tests/devices.h"
#include "tests/golden_step.h"

namespace gestalt::test {
namespace {

using namespace kernels;

// Values in [−2, 2] on the device, their memory beginning `offset` elements behind an aligned address.
Tensor drawn(const std::string& what, const Shape& shape, DType dtype, Device device, int64_t offset = 0) {
  const int64_t count = shape.count();
  std::vector<double> values = hash_uniform(what, count + offset);
  for (double& v : values) v *= 4;
  return Tensor::from(values, {count + offset}).to(dtype).to(device).slice(offset, offset + count).reshape(shape);
}

double worst(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.values(), y = b.values();
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i)
    most = std::max(most, std::isfinite(x[i]) ? std::abs(double{x[i]} - y[i]) : INFINITY);
  return most;
}

// What `f` does to a tensor in place, on the device and on the CPU.
void compare_in_place(DType dtype, double tolerance, const std::function<void(Tensor& x)>& f) {
  for (int64_t count : {1, 7, 64, 4099, 70001})
    for (int64_t offset : {0, 1}) {
      CAPTURE(count);
      CAPTURE(offset);
      Tensor there = drawn("in place", {count}, dtype, Device::cuda, offset);
      Tensor here = drawn("in place", {count}, dtype, Device::cpu, offset);
      f(there), f(here);
      CHECK(worst(there, here) <= tolerance);
    }
}

void compare_elementwise(DType dtype, double tolerance) {
  compare_in_place(dtype, dtype == DType::f32 ? 3e-7 : tolerance, [](Tensor& x) {
    launch(Combine{.a = x.in(), .b = x.in(), .y = x.out(), .a_scale = 0.7, .b_scale = -0.3, .count = x.count()},
           x.stream());
  });
  compare_in_place(dtype, 0, [](Tensor& x) { launch(Multiply{x.in(), x.in(), x.out(), x.count()}, x.stream()); });
  compare_in_place(dtype, 0, [](Tensor& x) { launch(Fill{x.out(), 2.5, x.count()}, x.stream()); });
  compare_in_place(dtype, tolerance, [](Tensor& x) {
    launch(Pointwise{x.in(), x.out(), Gelu{}, x.count()}, x.stream());
  });
  compare_in_place(dtype, tolerance, [](Tensor& x) {
    launch(PointwiseBackward{x.in(), x.in(), x.out(), GeluTanh{}, x.count()}, x.stream());
  });
  compare_in_place(dtype, tolerance, [](Tensor& x) { launch(Sum{x.in(), x.out(), 0.125, x.count()}, x.stream()); });
}

struct ProductCase {
  int64_t m, n, k, batch;
  bool transpose_a, transpose_b, bias, gelu;
  int64_t offset;  // of operands and bias, in elements
};

// c and, where asked for, its GELU.
std::vector<Tensor> product(const ProductCase& c, DType operands, DType result, Device device) {
  const Tensor a = drawn("a", {c.batch * c.m * c.k}, operands, device, c.offset);
  const Tensor b = drawn("b", {c.batch * c.k * c.n}, operands, device, c.offset);
  const Tensor bias = drawn("bias", {c.n}, DType::f32, device, c.offset);
  Tensor y = drawn("y", {c.batch * c.m * c.n}, result, device, c.offset), gelu = y.clone();
  launch(Product{.a = a.in(),
                 .b = b.in(),
                 .bias = c.bias ? bias.in() : In{},
                 .c = y.out(),
                 .m = c.m,
                 .n = c.n,
                 .k = c.k,
                 .batch = c.batch,
                 .transpose_a = c.transpose_a,
                 .transpose_b = c.transpose_b,
                 .gelu = c.gelu ? gelu.out() : Out{}},
         y.stream());
  return c.gelu ? std::vector{y, gelu} : std::vector{y};
}

}  // namespace

TEST_CASE("cuda: elementwise kernels agree with the CPU on every path" * doctest::skip(without_cuda)) {
  compare_elementwise(DType::f32, 2e-6);
  compare_elementwise(DType::bf16, 0.016);
}

TEST_CASE("cuda: column sums and added rows agree with the CPU on every path" * doctest::skip(without_cuda)) {
  for (const auto& shape : {std::pair<int64_t, int64_t>{1, 3}, {5, 64}, {700, 12}, {1000, 33}, {64, 1000}})
    for (DType dtype : {DType::f32, DType::bf16}) {
      const int64_t m = shape.first, n = shape.second;
      const Shape matrix{m, n};
      CAPTURE(matrix.text());
      const auto results = [&](Device device) {
        const Tensor x = drawn("x", matrix, dtype, device), row = drawn("row", {n}, DType::f32, device);
        Tensor sums = Tensor::empty({n}, DType::f32, device), y = Tensor::empty(matrix, dtype, device);
        launch(ColumnSum{x.in(), sums.out(), m, n}, x.stream());
        launch(AddRow{x.in(), row.in(), y.out(), m, n}, x.stream());
        return std::pair{sums, y};
      };
      const auto [sums, y] = results(Device::cuda);
      const auto [cpu_sums, cpu_y] = results(Device::cpu);
      CHECK(worst(sums, cpu_sums) <= 1e-5 * std::sqrt(static_cast<double>(m)));
      CHECK(worst(y, cpu_y) == 0);
    }
}

TEST_CASE("cuda: slopes and their column sums are those of a kernel each on every path" * doctest::skip(without_cuda)) {
  struct Sizes {
    int64_t m, n, offset;
  };
  for (const Sizes& sizes : {Sizes{1, 3, 0}, {5, 64, 1}, {700, 12, 0}, {1000, 33, 0}, {70, 260, 0}})
    for (DType dtype : {DType::f32, DType::bf16}) {
      const int64_t m = sizes.m, n = sizes.n, offset = sizes.offset;
      const Shape matrix{m, n};
      CAPTURE(matrix.text());
      const auto results = [&](Device device) {
        const Tensor x = drawn("x", matrix, dtype, device, offset), dy = drawn("dy", matrix, dtype, device, offset);
        Tensor dx = drawn("dx", matrix, dtype, device, offset), alone = dx.clone();
        Tensor sums = Tensor::empty({n}, DType::f32, device), sums_alone = sums.clone();
        launch(PointwiseBackwardSums{x.in(), dy.in(), dx.out(), sums.out(), Gelu{}, m, n}, x.stream());
        launch(PointwiseBackward{x.in(), dy.in(), alone.out(), Gelu{}, m * n}, x.stream());
        launch(ColumnSum{alone.in(), sums_alone.out(), m, n}, x.stream());
        CHECK(worst(dx, alone) == 0);
        CHECK(worst(sums, sums_alone) <= (offset ? 1e-5 : 0));  // a clone lies at an aligned address
        return dx;
      };
      CHECK(worst(results(Device::cuda), results(Device::cpu)) <= (dtype == DType::f32 ? 2e-6 : 0.016));
    }
}

TEST_CASE("cuda: products agree with the CPU on transposes, batches, odd sizes and addresses, biases and GELU" *
          doctest::skip(without_cuda)) {
  struct Precision {
    DType operands, result;
    double tolerance;
  };
  for (const auto& [m, n, k, batch] :
       {std::array<int64_t, 4>{20, 36, 28, 3}, {16, 48, 32, 1}, {17, 37, 5, 1}, {1, 1, 1, 1}, {3, 8, 0, 1}})
    for (int mode = 0; mode < 32; ++mode) {
      const ProductCase c{.m = m,
                          .n = n,
                          .k = k,
                          .batch = batch,
                          .transpose_a = (mode & 1) != 0,
                          .transpose_b = (mode & 2) != 0,
                          .bias = (mode & 4) != 0,
                          .gelu = batch == 1 && (mode & 8) != 0,
                          .offset = mode / 16};
      CAPTURE(c.n);
      CAPTURE(mode);
      for (const Precision& p : {Precision{DType::f32, DType::f32, 1e-4},
                                 {DType::bf16, DType::f32, 1e-4},
                                 {DType::bf16, DType::bf16, 0.13}}) {
        const std::vector<Tensor> got = product(c, p.operands, p.result, Device::cuda);
        const std::vector<Tensor> expected = product(c, p.operands, p.result, Device::cpu);
        for (size_t i = 0; i < got.size(); ++i) CHECK(worst(got[i], expected[i]) <= p.tolerance);
      }
    }
}

TEST_CASE("cuda: f64 is refused by name" * doctest::skip(without_cuda)) {
  Tensor x = Tensor::zeros({4}, DType::f64).to(Device::cuda);
  CHECK_THROWS_WITH_AS(launch(Multiply{x.in(), x.in(), x.out(), 4}, x.stream()),
                       "[cuda] got f64, expected f32 or bf16; f64 runs on --device cpu", Error);
}

}  // namespace gestalt::test
