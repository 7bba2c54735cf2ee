// Token files: what opens is read, and its tokenizer's record is valid.
#include "engine/data/text/token_file.h"

#include <vector>

#include "engine/data/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = fuzz::file("x.tokens", {data, size});
  fuzz::refused_or([&] {
    const TokenFile tokens(path);
    std::vector<int32_t> ids(static_cast<size_t>(std::min<int64_t>(tokens.count(), 64)));
    tokens.read(0, ids);
    for (const int32_t id : ids) fuzz::expect(id >= 0 && id < tokens.vocabulary());
  });
  fuzz::refused_or([&] { tokenizer_from_record(std::string(fuzz::text_of({data, size})), fuzz::folder()); });
  return 0;
}
