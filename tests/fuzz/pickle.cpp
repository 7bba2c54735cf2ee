// Python's pickles, as CIFAR's batches are written.
#include "engine/data/pickle.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::refused_or([&] {
    const Pickle pickle({data, size});
    for (const char* key : {"data", "labels"})
      if (const PickleValue* value = pickle.root().at(key)) fuzz::expect(value->text.size() <= size);
  });
  return 0;
}
