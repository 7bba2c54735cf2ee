// GPT-2's vocabulary in its two files; a vocabulary that is read also encodes, and decodes what it has encoded.
#include "engine/data/text/bpe_files.h"

#include "engine/data/text/bpe.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input{data, size};
  fuzz::file("vocab.bpe", fuzz::take_part(input));
  fuzz::file("encoder.json", input);
  fuzz::refused_or([] {
    const BpeTokenizer tokenizer(fuzz::folder(), false);
    const std::string text = "ab the there\n 12'll \xc3\xa9";
    fuzz::expect(tokenizer.decode(tokenizer.encode(text)) == text);
  });
  return 0;
}
