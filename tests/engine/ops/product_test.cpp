// Products, where the op table's small shapes do not reach: blocks of rows, columns and depth.
#include <doctest/doctest.h>

#include "engine/ops/product.h"
#include "engine/tensor/random.h"
#include "tests/engine/ops/op_table.h"
#include "tests/threads.h"

namespace gestalt::test {

TEST_CASE("product: in blocks equals f64's plain loop, and the same bits on any number of threads") {
  struct Sizes {
    int64_t m, n, k;
  };
  // Cut by rows, by columns, by both, and in depth, where sums of parts meet; none a multiple of a register. Then small
  // with some depth, and of so many rows and whole registers of columns that a transposed b is turned first.
  for (const Sizes& s : {Sizes{2001, 70, 90}, Sizes{50, 1999, 130}, Sizes{801, 603, 66}, Sizes{70, 90, 9001},
                         Sizes{90, 100, 1100}, Sizes{1100, 96, 90}, Sizes{1030, 48, 4100}})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true}) {
        Random random(7);
        const Tensor a = random.normal(transpose_a ? Shape{s.k, s.m} : Shape{s.m, s.k}, 0, 1);
        const Tensor b = random.normal(transpose_b ? Shape{s.n, s.k} : Shape{s.k, s.n}, 0, 1);
        const auto on = [&](int threads, DType dtype) {
          const Threads team(threads);
          return matmul(a.to(dtype), b.to(dtype), transpose_a, transpose_b);
        };
        CAPTURE(s.m);
        CAPTURE(transpose_a);
        CAPTURE(transpose_b);
        const Tensor one = on(1, DType::f32), rounded = on(1, DType::bf16);
        CHECK(relative_error(one, on(2, DType::f64)) < 2e-6);
        CHECK(relative_error(rounded, one) < 1e-2);
        for (const int threads : {2, 3, 5}) {
          CHECK(on(threads, DType::f32).values() == one.values());
          CHECK(on(threads, DType::bf16).values() == rounded.values());
        }
      }
}

TEST_CASE("product: many matrices, and a bias, in blocks") {
  Random random(8);
  const Tensor x = random.normal({900, 260}, 0, 1), w = random.normal({450, 260}, 0, 1),
               bias = random.normal({450}, 0, 1);
  CHECK(relative_error(linear(x, w, bias), linear(x.to(DType::f64), w.to(DType::f64), bias.to(DType::f64))) < 2e-6);
  const Tensor a = random.normal({37, 120, 70}, 0, 1), b = random.normal({37, 70, 110}, 0, 1);
  CHECK(relative_error(matmul(a, b), matmul(a.to(DType::f64), b.to(DType::f64))) < 2e-6);
}

}  // namespace gestalt::test
