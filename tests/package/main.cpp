// An encoder of one's own, pretrained with SimCLR on built-in images.
#include <cstdio>
#include <memory>

#include "engine/gestalt.h"
#include "tasks/training/image_method.h"
#include "tasks/training/run.h"

using namespace gestalt;

// Two strided convolutions with batch norm and ReLU, and a mean over positions.
struct SmallEncoder : Encoder {
  explicit SmallEncoder(Random& random) : a(3, 16, 3, 2, 1, random), b(16, 32, 3, 2, 1, random) {}
  Tensor forward(const Tensor& images, bool training) override {  // (N, H, W, 3) → (N, 32)
    const Tensor x = norm_a(a(images), training, true);
    return global_average_pool(norm_b(b(x), training, true));
  }
  int64_t features() const override { return 32; }
  void visit(Visitor& v) override { v("a", a), v("norm_a", norm_a), v("b", b), v("norm_b", norm_b); }

  Conv2d a, b;
  BatchNorm norm_a{16}, norm_b{32};
};

int main() {
  const std::unique_ptr<Method> method = make_method("simclr");
  set_fields(*method, "main.cpp", "data = shapes:1024\nepochs = 2");
  dynamic_cast<ImageMethod&>(*method).use_encoder(
      [](Random& random) { return std::make_unique<SmallEncoder>(random); });
  const PretrainResult result = pretrain(*method, {.quiet = true});
  std::printf("%s: kNN accuracy %.1f %%\n", result.encoder_file.c_str(), result.metrics[0].value);
}
