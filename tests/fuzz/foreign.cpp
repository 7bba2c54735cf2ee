// Weights of other libraries: the input as their file, and as the config.json beside files that are otherwise whole.
#include "models/import.h"

#include "engine/tensor/safetensors.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

namespace {

// As much of each library's ViT and ResNet as is looked at before the configuration has been.
const std::vector<std::vector<NamedTensor>>& stubs() {
  static const std::vector<std::vector<NamedTensor>> all{
      {{"patch_embed.proj.weight", Tensor::zeros({128, 3, 4, 4})}, {"pos_embed", Tensor::zeros({1, 5, 128})}},
      {{"embeddings.patch_embeddings.projection.weight", Tensor::zeros({128, 3, 4, 4})},
       {"embeddings.position_embeddings", Tensor::zeros({1, 5, 128})}},
      {{"layer1.0.conv1.weight", Tensor::zeros({2, 2, 3, 3})}, {"conv1.weight", Tensor::zeros({2, 3, 3, 3})}},
      {{"embedder.embedder.convolution.weight", Tensor::zeros({2, 3, 7, 7})}}};
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string alone = fuzz::file("weights.safetensors", {data, size});
  fuzz::refused_or([&] { import_encoder(alone); });
  fuzz::file("config.json", {data, size});
  fuzz::file("preprocessor_config.json", {data, size});
  for (const std::vector<NamedTensor>& stub : stubs())
    fuzz::refused_or([&] {
      write_safetensors(fuzz::folder() + "/model.safetensors", stub);
      import_encoder(fuzz::folder() + "/model.safetensors");
    });
  return 0;
}
