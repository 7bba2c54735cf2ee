// Writing token files, and reading them without trusting a byte.
#include "engine/data/text/token_file.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <vector>

#include "engine/data/mapped_file.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are mapped as they are");

constexpr char magic[16] = {'g', 'e', 's', 't', 'a', 'l', 't', ' ', 't', 'o', 'k', 'e', 'n', 's', '\n', 1};
constexpr uint64_t most_ids = uint64_t{1} << 60;  // times 4 bytes, still far from wrapping

// The last bytes of the file.
struct Trailer {
  uint64_t count, text_bytes, vocabulary;
  uint64_t record_bytes;
  uint32_t id_bytes;
  uint32_t record_crc;
  uint64_t reserved = 0;
  char name[12] = "tokens end";
  uint32_t crc;  // of what stands before it
};
static_assert(sizeof(Trailer) == 64);

uint32_t crc(const void* bytes, size_t count) {
  return static_cast<uint32_t>(crc32_z(0, static_cast<const Bytef*>(bytes), count));
}

int64_t id_bytes_for(int64_t vocabulary) { return vocabulary <= 65536 ? 2 : 4; }

void check_ids(std::span<const int32_t> ids, int64_t vocabulary) {
  for (int32_t id : ids) check(id >= 0 && id < vocabulary, "[tokens] got id {}, expected 0 to {}", id, vocabulary - 1);
}

}  // namespace

TokenFileWriter::TokenFileWriter(const std::string& path, const Tokenizer& tokenizer)
    : file_(path), vocabulary_(tokenizer.vocabulary()), record_(tokenizer.record()) {
  file_.write(magic, sizeof magic);
}

void TokenFileWriter::append(std::span<const int32_t> ids) {
  check_ids(ids, vocabulary_);
  count_ += static_cast<int64_t>(ids.size());
  if (id_bytes_for(vocabulary_) == 4) return file_.write(ids.data(), ids.size_bytes());
  const std::vector<uint16_t> narrow(ids.begin(), ids.end());
  file_.write(narrow.data(), 2 * narrow.size());
}

void TokenFileWriter::commit(int64_t text_bytes) {
  Trailer trailer{};
  trailer.count = count_;
  trailer.text_bytes = text_bytes;
  trailer.vocabulary = vocabulary_;
  trailer.record_bytes = record_.size();
  trailer.id_bytes = static_cast<uint32_t>(id_bytes_for(vocabulary_));
  trailer.record_crc = crc(record_.data(), record_.size());
  trailer.crc = crc(&trailer, offsetof(Trailer, crc));
  file_.write(record_);
  file_.write(&trailer, sizeof trailer);
  file_.commit();
}

TokenFile::TokenFile(const std::string& path) : path_(path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const std::span<const uint8_t> bytes = file->bytes();
  const auto expect = [&](bool holds, const char* what) {
    check(holds, "[tokens] damaged token file '{}': {}; make it again with `gestalt tokenize`", path_, what);
  };
  expect(bytes.size() >= sizeof magic && std::memcmp(bytes.data(), magic, sizeof magic) == 0,
         "it does not begin like one of this version");
  expect(bytes.size() >= sizeof magic + sizeof(Trailer), "it is cut short");
  Trailer trailer;
  std::memcpy(&trailer, bytes.data() + bytes.size() - sizeof trailer, sizeof trailer);
  expect(trailer.crc == crc(&trailer, offsetof(Trailer, crc)), "it is cut short, or its end has changed");

  // A trailer with a right checksum may still have been made to mislead.
  const uint64_t body = bytes.size() - sizeof magic - sizeof trailer;
  expect(trailer.vocabulary >= 1 && trailer.vocabulary <= INT32_MAX &&
             trailer.id_bytes == id_bytes_for(static_cast<int64_t>(trailer.vocabulary)),
         "its vocabulary and the size of its ids do not fit together");
  expect(trailer.count <= most_ids && trailer.record_bytes <= body &&
             trailer.count * trailer.id_bytes == body - trailer.record_bytes,
         "it is longer or shorter than its count of ids says");
  expect(trailer.text_bytes <= INT64_MAX, "its size of the text is not possible");
  const auto* record = bytes.data() + bytes.size() - sizeof trailer - trailer.record_bytes;
  expect(trailer.record_crc == crc(record, trailer.record_bytes), "the record of its tokenizer has changed");

  record_.assign(reinterpret_cast<const char*>(record), trailer.record_bytes);
  owner_ = file;
  ids_ = bytes.data() + sizeof magic;
  id_bytes_ = trailer.id_bytes;
  count_ = static_cast<int64_t>(trailer.count);
  vocabulary_ = static_cast<int64_t>(trailer.vocabulary);
  text_bytes_ = static_cast<int64_t>(trailer.text_bytes);
  check_record(record_, vocabulary_);
}

TokenFile::TokenFile(std::string name, std::vector<int32_t> ids, const Tokenizer& tokenizer, int64_t text_bytes)
    : path_(std::move(name)),
      id_bytes_(4),
      count_(static_cast<int64_t>(ids.size())),
      vocabulary_(tokenizer.vocabulary()),
      text_bytes_(text_bytes),
      record_(tokenizer.record()) {
  check_ids(ids, vocabulary_);
  const auto owner = std::make_shared<const std::vector<int32_t>>(std::move(ids));
  ids_ = reinterpret_cast<const uint8_t*>(owner->data());
  owner_ = owner;
}

void TokenFile::read(int64_t begin, std::span<int32_t> ids) const {
  const int64_t wanted = static_cast<int64_t>(ids.size());
  check(begin >= 0 && wanted <= count_ && begin <= count_ - wanted,
        "[tokens] got places {} and the {} after it, expected them in the {} of '{}'", begin, wanted, count_, path_);
  if (id_bytes_ == 2) read_as<uint16_t>(begin, ids);
  if (id_bytes_ == 4) read_as<uint32_t>(begin, ids);
}

template <class T>
void TokenFile::read_as(int64_t begin, std::span<int32_t> ids) const {
  const T* stored = reinterpret_cast<const T*>(ids_) + begin;
  T greatest = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    greatest = std::max(greatest, stored[i]);
    ids[i] = static_cast<int32_t>(stored[i]);
  }
  check(greatest < vocabulary_,
        "[tokens] damaged token file '{}': got id {} at or after place {}, expected 0 to {}; make it again with "
        "`gestalt tokenize`",
        path_, greatest, begin, vocabulary_ - 1);
}

}  // namespace gestalt
