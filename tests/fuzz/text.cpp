// UTF-8 and the tokenizers that need no files: what they promise of any bytes.
#include "engine/data/text/tokenizer.h"
#include "engine/run/utf8.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes =
      fuzz::text_of({data, std::min<size_t>(size, 1024)});  // longer ones are slow and no other
  const std::string safe = utf8_from_bytes(bytes);
  fuzz::expect(is_utf8(safe) && bytes_from_utf8(safe) == bytes);
  const std::string repaired = repair_utf8(bytes);
  fuzz::expect(is_utf8(repaired) && (!is_utf8(bytes) || repaired == bytes) && repair_utf8(repaired) == repaired);
  const auto letters = byte_tokenizer();
  fuzz::expect(letters->decode(letters->encode(bytes)) == bytes);
  fuzz::refused_or([&] {
    const auto characters = character_tokenizer(bytes);
    fuzz::expect(characters->decode(characters->encode(bytes)) == repaired);
    const auto again = tokenizer_from_record(characters->record());
    fuzz::expect(again->record() == characters->record() && again->encode(bytes) == characters->encode(bytes));
  });
  return 0;
}
