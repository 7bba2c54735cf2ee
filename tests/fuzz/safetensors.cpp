// Weights: any file is refused or read, and what was read is written and read again the same.
#include "engine/tensor/safetensors.h"

#include <cstring>

#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = fuzz::file("x.safetensors", {data, size});
  fuzz::refused_or([&] { read_safetensors_header(path); });
  fuzz::refused_or([&] { verify_safetensors(path); });
  fuzz::refused_or([&] {
    const SafetensorsFile first = read_safetensors(path);
    write_safetensors(path, first.tensors, first.metadata);
    const SafetensorsFile second = read_safetensors(path);
    fuzz::expect(second.tensors.size() == first.tensors.size());
    for (const NamedTensor& t : first.tensors) {
      const Tensor& again = second.at(t.name);
      fuzz::expect(again.shape() == t.tensor.shape() && again.dtype() == t.tensor.dtype());
      fuzz::expect(t.tensor.count() == 0 ||
                   std::memcmp(again.in().data, t.tensor.in().data, static_cast<size_t>(t.tensor.bytes())) == 0);
    }
  });
  return 0;
}
