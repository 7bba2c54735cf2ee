// Texts as they lie on disk: folders, compressed files, lines of JSON, and what is no UTF-8.
#include "engine/data/text/text_files.h"

#include <doctest/doctest.h>

#include "engine/data/text/token_sets.h"
#include "kernels/check.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/source_path.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

const std::string archives = source_path("tests/golden/archives/");

std::string read_whole(const std::string& path, const std::string& encoding = "utf-8") {
  return std::string(open_text(path, encoding).view());
}

}  // namespace

TEST_CASE("text: what gzip, bzip2, xz and zstd compressed is the text, and a folder is its files in order") {
  const std::string text = "To be, or not to be\n";
  for (const char* ending : {"gz", "bz2", "xz", "zst"}) CHECK(read_whole(archives + "text.txt." + ending) == text);
  const TemporaryFolder folder;
  write(folder / "b.txt", std::string("second"));
  write(folder / "a/z.md", std::string("first\n"));
  write(folder / "c.txt.gz", read(archives + "text.txt.gz"));
  write(folder / "notes.pdf", std::string("no text"));
  write(folder / ".hidden.txt", std::string("hidden"));
  CHECK(read_whole(folder.path()) == "first\nsecond\n" + text);
  CHECK(approximate_text_bytes(folder.path()) == 6 + 6 + 3 * 37);
  Bytes cut = read(archives + "text.txt.gz");
  cut.resize(30);
  write(folder / "cut.txt.gz", cut);
  CHECK_THROWS_WITH_AS(open_text(folder / "cut.txt.gz"), doctest::Contains("cut.txt.gz"), Error);
  CHECK_THROWS_WITH_AS(open_text(folder / "none.txt"), doctest::Contains("none.txt"), Error);
  std::filesystem::create_directories(folder / "empty");
  CHECK_THROWS_WITH_AS(open_text(folder / "empty"), doctest::Contains("holds no text"), Error);
}

TEST_CASE("text: Latin-1 is refused by the place of its first byte, or turned into UTF-8 where that is said") {
  const TemporaryFolder folder;
  write(folder / "latin.txt", std::string("caf\xe9 \xfc"));
  CHECK_THROWS_WITH_AS(open_text(folder / "latin.txt"),
                       doctest::Contains("byte 3 is 0xe9; if it is Latin-1, give --encoding latin-1"), Error);
  CHECK(read_whole(folder / "latin.txt", "latin-1") == "caf\u00e9 \u00fc");
  CHECK(read_whole(folder / "latin.txt", "bytes") == "caf\xe9 \xfc");
  const std::string spec = "text:" + (folder / "latin.txt");
  CHECK_THROWS_AS(open_tokens(spec, {.tokenizer = {.kind = "character"}}), Error);
  CHECK(open_tokens(spec, {.tokenizer = {.kind = "character"}, .val_fraction = 0, .encoding = "latin-1"})
            .training->count() == 6);
  // A byte tokenizer takes any bytes, as they are.
  CHECK(open_tokens(spec, {.tokenizer = {.kind = "byte"}, .val_fraction = 0}).training->count() == 6);
}

TEST_CASE("text: a field of lines of JSON, and the line that has none") {
  const TemporaryFolder folder;
  const std::string file = folder / "lines.jsonl";
  write(file, std::string("{\"text\": \"one\", \"id\": 1}\n\n{\"text\": \"two\\n\", \"other\": \"drei\"}\r\n"));
  CHECK(open_json_lines(file).view() == "one\ntwo\n");
  CHECK(open_json_lines(file + "#text").view() == "one\ntwo\n");
  CHECK_THROWS_WITH_AS(open_json_lines(file + "#other"), doctest::Contains("line 1"), Error);
  CHECK_THROWS_WITH_AS(open_json_lines(file + "#id"), doctest::Contains("has no text 'id'"), Error);
  write(file, std::string("{\"text\": \"one\"}\n{\"text\": \"tw"));
  CHECK_THROWS_WITH_AS(open_json_lines(file), doctest::Contains("line 2"), Error);
  write(file, std::string("{\"text\": \"one\"}\n"));
  write(folder / "lines-2.jsonl", std::string("{\"text\": \"two\"}\n"));
  CHECK(open_json_lines(folder / "lines*.jsonl#text").view() == "two\none\n");
  CHECK(open_tokens("jsonl:" + file + "#text", {.tokenizer = {.kind = "byte"}, .val_fraction = 0}).training->count() ==
        4);
  CHECK_THROWS_AS(open_json_lines(folder / "none.jsonl"), Error);
}

}  // namespace gestalt::test
