// Tokenizers as files of Hugging Face's. tests/interchange/run.py reads them with transformers' AutoTokenizer.
#include "engine/data/text/tokenizer_files.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/data/text/tokenizer.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "kernels/check.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

Json json_in(const std::string& path) { return parse_json(path, read_text(path)); }

}  // namespace

TEST_CASE("tokenizer files: bytes are the printable characters of GPT-2's table") {
  const TemporaryFolder folder;
  save_tokenizer_files(folder.path(), byte_tokenizer()->record(), 64);
  const auto vocabulary = json_in(folder / "tokenizer.json")["model"]["vocab"];
  CHECK(vocabulary.size() == 256);
  // bytes_to_unicode() of openai/gpt-2's encoder.py.
  CHECK(vocabulary["Ġ"] == 32);
  CHECK(vocabulary["Ċ"] == 10);
  CHECK(vocabulary["A"] == 65);
  CHECK(vocabulary["Ā"] == 0);
  CHECK(vocabulary["ġ"] == 127);
  CHECK(vocabulary["ł"] == 160);
  CHECK(vocabulary["Ń"] == 173);
  CHECK(vocabulary["ÿ"] == 255);
  const auto config = json_in(folder / "tokenizer_config.json");
  CHECK(config["model_max_length"] == 64);
  CHECK(config["tokenizer_class"] == "PreTrainedTokenizerFast");
}

TEST_CASE("tokenizer files: characters are words; what has no files is refused by its class") {
  const TemporaryFolder folder;
  const std::string record = character_tokenizer("aé\n中")->record();
  CHECK_FALSE(needs_files(record));
  save_tokenizer_files(folder.path(), record, 64);
  const auto vocabulary = json_in(folder / "tokenizer.json")["model"]["vocab"];
  const auto tokenizer = tokenizer_from_record(record);
  CHECK(vocabulary.size() == 4);
  for (const char* letter : {"a", "é", "\n", "中"}) CHECK(vocabulary[letter] == tokenizer->encode(letter).at(0));

  const std::string gpt2 = R"({"kind":"gpt2","folder":"gone","special":true,"checksum":7})";
  CHECK(needs_files(gpt2));
  CHECK_THROWS_AS(save_tokenizer_files(folder.path(), gpt2, 64), Error);
  refuse_tokenizer(folder.path(), "none is here");
  CHECK(json_in(folder / "tokenizer_config.json")["tokenizer_class"] == "none is here");
}

}  // namespace gestalt::test
