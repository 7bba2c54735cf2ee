// Links the installed library and takes one gradient: d(Σ a·b)/da = b.
#include <cstdio>

#include "engine/gestalt.h"

int main() {
  gestalt::Tensor a = gestalt::Tensor::full({1, 3}, 2).require_grad();
  const gestalt::Tensor b = gestalt::Tensor::from(std::vector<float>{1, 2, 3}, {3, 1});
  const gestalt::Tensor y = gestalt::matmul(a, b);
  y.reshape({}).backward();
  const bool right = y.item() == 12 && a.grad().values() == std::vector<float>{1, 2, 3};
  std::puts(right ? "gestalt links and runs" : "wrong gradient");
  return right ? 0 : 1;
}
