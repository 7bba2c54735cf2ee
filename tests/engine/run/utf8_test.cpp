// Bytes of any kind as UTF-8 and back, alone and in records.
#include "engine/run/utf8.h"

#include <doctest/doctest.h>

#include "engine/run/fields_json.h"
#include "engine/run/fields_text.h"
#include "kernels/philox.h"

namespace gestalt::test {

TEST_CASE("any bytes become UTF-8 that turns back, and well-formed text stays as it is") {
  CHECK(utf8_from_bytes("") == "");
  CHECK(utf8_from_bytes("plain, \xc3\xa9, \xf0\x9f\x98\x80") == "plain, \xc3\xa9, \xf0\x9f\x98\x80");
  CHECK(utf8_from_bytes("caf\xe9") == "caf\xf4\x8f\xbf\xa9");  // U+10FFE9
  CHECK(bytes_from_utf8("caf\xf4\x8f\xbf\xa9") == "caf\xe9");
  constexpr uint8_t telling[] = {0x41, 0x80, 0xbf, 0xc3, 0xe9, 0xed, 0xf4, 0x8f, 0xff};
  for (uint32_t round = 0; round < 2000; ++round) {
    std::string bytes;
    for (uint32_t i = 0; i < draw(1, Use::test, 0, round, 0).word[0] % 12; ++i)
      bytes += static_cast<char>(telling[draw(1, Use::test, 0, round, i + 1).word[0] % sizeof telling]);
    CAPTURE(round);
    CHECK(is_utf8(utf8_from_bytes(bytes)));
    CHECK(bytes_from_utf8(utf8_from_bytes(bytes)) == bytes);
    CHECK(bytes_from_utf8(utf8_from_bytes(utf8_from_bytes(bytes))) == utf8_from_bytes(bytes));
  }
}

TEST_CASE("a name that is no UTF-8 comes back from a record") {
  std::string name = "images:caf\xe9", copy;
  JsonWriter writer;
  writer("data", name, "", {});
  const std::string text = writer.object.dump();
  CHECK(is_utf8(text));
  JsonReader reader("test", parse_json("test", text));
  reader("data", copy, "", {});
  CHECK(copy == name);
  CHECK(parse_values("test", text).at("data").text == name);
}

}  // namespace gestalt::test
