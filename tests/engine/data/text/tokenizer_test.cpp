// UTF-8 against Python's decoder, the byte and character tokenizers, and tokenizers from records.
#include <doctest/doctest.h>

#include <fstream>

#include "engine/data/text/tokenizer.h"
#include "engine/run/fields_json.h"
#include "engine/run/utf8.h"
#include "kernels/check.h"
#include "tests/source_path.h"

namespace gestalt::test {
namespace {

template <class F>
std::string reason(F&& f) {
  try {
    f();
  } catch (const Error& error) { return error.what(); }
  return "";
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_CASE("a tokenizer's record fits its count of ids, and is not followed into the deep") {
  CHECK_NOTHROW(check_record(byte_tokenizer()->record(), "a", 256));
  CHECK_NOTHROW(check_record(character_tokenizer("abc")->record(), "a", 3));
  CHECK_NOTHROW(check_record(R"({"kind":"gpt2","folder":"gone","special":true,"checksum":7})", "a", 50257));
  const std::string deep(300'000, '[');
  for (const std::string& record : {std::string(), std::string("{}"), std::string("7"), deep, "{\"kind\":" + deep,
                                    std::string(R"({"kind":"character","characters":"ba"})")}) {
    CHECK_THROWS_AS(check_record(record, "a", 2), Error);
    CHECK_THROWS_AS(tokenizer_from_record(record), Error);
  }
  CHECK_THROWS_AS(check_record(byte_tokenizer()->record(), "a", 255), Error);
  CHECK_THROWS_AS(check_record(character_tokenizer("abc")->record(), "a", 4), Error);
}

TEST_CASE("utf8 is repaired as Python does") {
  std::ifstream file(source_path("tests/golden/utf8.jsonl"));
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const auto record = parse_json("line", line);
    const std::string hex = record["bytes"].text(), expected = record["text"].text();
    std::string bytes;
    for (size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    CAPTURE(hex);
    CHECK(repair_utf8(bytes) == expected);
    CHECK(is_utf8(bytes) == (bytes == expected));
    CHECK(is_utf8(expected));
  }
  CHECK(cases > 100);
}

TEST_CASE("utf8 code points go there and back") {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_utf8(text, c);
    const CodePoint back = first_code_point(text);
    if (back.value != c || back.bytes != static_cast<int>(text.size()) || !back.valid) FAIL_CHECK(describe(c));
  }
}

TEST_CASE("byte tokenizer") {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  const auto tokenizer = byte_tokenizer();
  CHECK(tokenizer->vocabulary() == 256);
  const std::vector<int32_t> ids = tokenizer->encode(all);
  REQUIRE(ids.size() == 256);
  for (int b = 0; b < 256; ++b) CHECK(ids[b] == b);
  CHECK(tokenizer->decode(ids) == all);
  CHECK(tokenizer->encode("").empty());
  CHECK_THROWS_AS(tokenizer->decode(std::vector<int32_t>{256}), Error);
  CHECK_THROWS_AS(tokenizer->decode(std::vector<int32_t>{-1}), Error);
  CHECK(!tokenizer->end_of_text());
}

TEST_CASE("character tokenizer") {
  const std::string text =
      "b\xc3\xa9"
      "a\n\xf0\x9f\x98\x80"
      "b";  // b é a newline 😀 b
  const auto tokenizer = character_tokenizer(text);
  CHECK(tokenizer->vocabulary() == 5);
  CHECK(tokenizer->encode(text) == std::vector<int32_t>{2, 3, 1, 0, 4, 2});
  CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
  CHECK_THROWS_AS(tokenizer->decode(std::vector<int32_t>{5}), Error);
  CHECK_THROWS_AS(character_tokenizer(""), Error);

  const std::string unknown = reason([&] { tokenizer->encode("b\xc3\xa9\xc3\xa8"); });
  CHECK(mentions(unknown, "'\xc3\xa8' (U+00E8) at byte 3"));
  CHECK(mentions(reason([&] { tokenizer->encode(std::string("ab\0", 3)); }), "U+0000 at byte 2"));
  CHECK(mentions(reason([&] { tokenizer->encode("a\xff"); }), "U+FFFD"));
  CHECK(character_tokenizer("a\xff")->decode(std::vector<int32_t>{1}) == "\xef\xbf\xbd");
}

TEST_CASE("tokenizers come back from their records") {
  const std::string text = std::string("\0\"\\ \x7f", 5) + "\xc3\xa9\xe2\x80\xa8\xf4\x8f\xbf\xbf";
  const auto characters = character_tokenizer(text);
  const auto again = tokenizer_from_record(characters->record());
  CHECK(again->name() == "character");
  CHECK(again->record() == characters->record());
  CHECK(again->encode(text) == characters->encode(text));
  CHECK(tokenizer_from_record(byte_tokenizer()->record())->name() == "byte");

  for (const char* damaged :
       {"", "{", "[]", "{}", R"({"kind":1})", R"({"kind":"word"})", R"({"kind":"character"})",
        R"({"kind":"character","characters":7})", R"({"kind":"character","characters":""})",
        R"({"kind":"character","characters":"ba"})", R"({"kind":"character","characters":"aa"})", R"({"kind":"gpt2"})"})
    CHECK_THROWS_AS(tokenizer_from_record(damaged), Error);
}

TEST_CASE("tokenizer options refuse what they would not use") {
  CHECK(make_tokenizer({.kind = "character"}, "ab")->vocabulary() == 2);
  CHECK(make_tokenizer({.kind = "byte"}, "ab")->vocabulary() == 256);
  CHECK_THROWS_AS(make_tokenizer({.kind = "word"}, "ab"), Error);
  CHECK_THROWS_AS(make_tokenizer({.kind = "byte", .special = true}, "ab"), Error);
  CHECK(mentions(reason([] { make_tokenizer({.kind = "gpt2"}, "ab"); }), "--bpe DIR"));
}

}  // namespace
}  // namespace gestalt::test
