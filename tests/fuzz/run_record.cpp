// A checkpoint's record of its run, in a file that is otherwise whole.
#include "engine/tensor/safetensors.h"
#include "tasks/training/checkpoint.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string folder = fuzz::folder(), path = folder + "/checkpoint.safetensors";
  fuzz::refused_or([&] {
    write_safetensors(path, {}, {{"gestalt.run", std::string(fuzz::text_of({data, size}))}}, true);
    const CheckpointHeader header = read_checkpoint_header(folder);
    fuzz::expect(header.state.step >= 0 && header.state.batches >= 0);
  });
  return 0;
}
