// Archives that Python wrote: where entries lie, what they hold, and what becomes of damage.
#include "engine/data/archive.h"
#include "engine/run/json.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <cstring>

#include "engine/run/files.h"
#include "kernels/check.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/source_path.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

const std::string archives = source_path("tests/golden/archives/");

std::string gzip(const std::string& data, int level = 9) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, data.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data()), stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

const auto everything = [](const std::string&) { return true; };

}  // namespace

TEST_CASE("archive: entries are where tarfile says, and hold what zipfile and tarfile read") {
  const auto index = parse_json("test", read_text(archives + "index.json"));
  REQUIRE(index.size() == 6);
  for (const auto& [name, entries] : index.items()) {
    const std::string& file = name;
    CAPTURE(file);
    const Archive archive(archives + file, everything);
    CHECK(archive.problem() == "");
    REQUIRE(archive.entries().size() == entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      const Archive::Entry& entry = archive.entries()[i];
      CHECK(entry.name == entries[i]["name"].get<std::string>());
      CHECK(entry.size == entries[i]["size"].get<int64_t>());
      if (entries[i]["offset"].get<int64_t>() >= 0) CHECK(entry.offset == entries[i]["offset"].get<int64_t>());
      const Bytes bytes = archive.read(entry);
      CHECK(crc32(0, bytes.data(), static_cast<uInt>(bytes.size())) == entries[i]["crc"].get<uint32_t>());
      CHECK(archive.read(entry, 1) == Bytes(bytes.begin(), bytes.begin() + 1));
    }
  }
}

TEST_CASE("archive: what is cut off has the entries before that place, and no file is no archive") {
  const TemporaryFolder folder;
  Bytes tar = read(archives + "pax.tar");
  tar.resize(tar.size() * 6 / 10);
  write(folder / "cut.tar", tar);
  const Archive cut(folder / "cut.tar", everything);
  CHECK(cut.entries().size() > 2);
  CHECK(cut.entries().size() < 13);
  CHECK_FALSE(cut.read(cut.entries()[0]).empty());
  // What is compressed comes in blocks of 64 KiB, and the one that is cut off does not.
  std::string entries;
  const Bytes shard = read(archives + "shard-000.tar");
  for (int i = 0; i < 12; ++i) entries.append(shard.begin(), shard.begin() + 19 * 512);  // without the end of it
  const std::string whole = gzip(entries, 0);
  write(folder / "cut.tar.gz", whole.substr(0, 100'000));
  const Archive compressed(folder / "cut.tar.gz", everything);
  REQUIRE(compressed.entries().size() > 40);
  CHECK(compressed.entries().size() < 90);
  CHECK(compressed.problem().starts_with("is damaged, and what follows is not read: "));
  CHECK(compressed.read(compressed.entries()[38]) == compressed.read(compressed.entries()[2]));
  write(folder / "no.tar", std::string("no archive"));
  CHECK_THROWS_WITH_AS(Archive(folder / "no.tar", everything), doctest::Contains("no tar or zip archive"), Error);
  CHECK_THROWS_AS(Archive(folder / "none.tar", everything), Error);
}

TEST_CASE("archive: a few bytes that decode to very many are refused, and encrypted files are told") {
  const TemporaryFolder folder;
  write(folder / "text.gz", gzip(gzip(std::string(size_t{200} << 20, '\0'))));  // 200 MiB in some hundred bytes
  CHECK_THROWS_WITH_AS(read_compressed(folder / "text.gz"), doctest::Contains("decodes to more than"), Error);
  Bytes zip = read(archives + "tree.zip");
  for (size_t at = 0; at + 10 < zip.size(); ++at) {  // the flag of encryption, in each header
    const bool entry = std::memcmp(zip.data() + at, "PK\3\4", 4) == 0,
               listed = std::memcmp(zip.data() + at, "PK\1\2", 4) == 0;
    if (entry || listed) zip[at + (entry ? 6 : 8)] |= 1;
  }
  write(folder / "locked.zip", zip);
  const Archive locked(folder / "locked.zip", everything);
  CHECK(locked.entries().empty());
  CHECK(locked.problem() == "has 13 encrypted files, which cannot be read");
}

TEST_CASE("archive: patterns name files by ranges, words and stars") {
  const TemporaryFolder folder;
  for (const char* name : {"s-08.tar", "s-09.tar", "s-10.tar", "t.tar"}) write(folder / name, std::string("x"));
  const auto named = [&](const std::string& pattern) {
    std::vector<std::string> names;
    for (const std::string& file : files_of(folder / pattern)) names.push_back(file.substr(folder.path().size() + 1));
    return names;
  };
  CHECK(named("s-{08..10}.tar") == std::vector<std::string>{"s-08.tar", "s-09.tar", "s-10.tar"});
  CHECK(named("s-*.tar").size() == 3);
  CHECK(named("{t,s-08}.tar") == std::vector<std::string>{"t.tar", "s-08.tar"});
  CHECK_THROWS_WITH_AS(named("s-{08..11}.tar"), doctest::Contains("s-11.tar is missing"), Error);
  CHECK_THROWS_AS(named("s-{10..08}.tar"), Error);
}

}  // namespace gestalt::test
