// Event files, read back record by record.
#include "engine/run/event_file.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/run/files.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

template <class T>
T number(std::string_view bytes) {
  T value;
  REQUIRE(bytes.size() >= sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// The records of a file whose checksums are right.
std::vector<std::string> records(const std::string& path) {
  const auto unmask = [](uint32_t masked) {
    const uint32_t turned = masked - 0xa282ead8u;
    return turned >> 17 | turned << 15;
  };
  std::vector<std::string> all;
  const std::string file = read_text(path);
  for (std::string_view rest = file; !rest.empty();) {
    const auto length = number<uint64_t>(rest);
    REQUIRE(unmask(number<uint32_t>(rest.substr(8))) == crc32c(rest.substr(0, 8)));
    all.emplace_back(rest.substr(12, length));
    REQUIRE(unmask(number<uint32_t>(rest.substr(12 + length))) == crc32c(all.back()));
    rest.remove_prefix(16 + length);
  }
  return all;
}

}  // namespace

TEST_CASE("CRC-32C gives RFC 3720's examples") {
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  std::string counted;
  for (int i = 0; i < 32; ++i) counted += static_cast<char>(i);
  CHECK(crc32c(counted) == 0x46dd794eu);
  CHECK(crc32c(std::string(counted.rbegin(), counted.rend())) == 0x113fdb5cu);
}

TEST_CASE("event files: records with right checksums, which say what was appended") {
  const TemporaryFolder folder;
  EventFile first(folder.path(), 0), second(folder.path(), 7);
  CHECK(first.path() != second.path());
  first.scalar("train/loss", 300, 1.5);
  const std::vector<float> values{-1, 0, 0, 2, NAN};
  first.histogram("weights", 300, values);
  first.image("picture", 300, "PNG", 4, 5);

  const std::vector<std::string> all = records(first.path());
  REQUIRE(all.size() == 4);
  CHECK(all[0].find("brain.Event:2") != std::string::npos);
  const std::string step{'\x10', '\xac', '\x02'};  // field 2, 300 as a varint
  for (size_t i = 1; i < 4; ++i) {
    CHECK(all[i][0] == '\x09');  // field 1, a double
    CHECK(all[i].substr(9, 3) == step);
  }
  std::string value = "\x0a\x0atrain/loss\x15";  // tag; field 2, a float
  const float loss = 1.5f;
  value.append(reinterpret_cast<const char*>(&loss), 4);
  CHECK(all[1].ends_with("\x2a\x13\x0a\x11" + value));
  // Least, most, number, sum and squares of what is finite.
  const size_t at = all[2].find("weights") + 7 + 2 + 1;
  for (const auto& [place, expected] : std::vector<std::pair<size_t, double>>{{0, -1}, {1, 2}, {2, 4}, {3, 1}, {4, 5}})
    CHECK(number<double>(std::string_view(all[2]).substr(at + 9 * place + 1)) == expected);
  CHECK(all[3].ends_with(std::string("\x08\x04\x10\x05\x18\x03\x22\x03PNG", 11)));
  CHECK(records(second.path()).size() == 2);  // the second begins by hiding what was said from step 7 on
}

}  // namespace gestalt::test
