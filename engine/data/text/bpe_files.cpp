// encoder.json and vocab.bpe, checked against each other.
#include "engine/data/text/bpe_files.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <unordered_map>
#include <utility>

#include "engine/run/files.h"
#include "engine/run/json.h"
#include "engine/run/utf8.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

using Ids = std::unordered_map<std::string, int32_t>;

// The character that stands for each byte: itself where it is printable and no space, else U+0100 and up in order.
std::array<char32_t, 256> byte_alphabet() {
  std::array<char32_t, 256> alphabet;
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
    alphabet[b] = printable ? b : next++;
  }
  return alphabet;
}

std::string unescape(std::string_view symbol, const std::array<char32_t, 256>& alphabet, const std::string& where) {
  std::string bytes;
  while (!symbol.empty()) {
    const CodePoint c = first_code_point(symbol);
    const auto byte = std::find(alphabet.begin(), alphabet.end(), c.value);
    check(byte != alphabet.end(), "[tokenizer] damaged {}: the character {} stands for no byte", where,
          describe(c.value));
    bytes += static_cast<char>(byte - alphabet.begin());
    symbol.remove_prefix(c.bytes);
  }
  return bytes;
}

// Accepts one flat object of token: id and refuses the first thing that is not, so that no nesting is followed.
class IdReader : public JsonReceiver {
 public:
  explicit IdReader(const std::string& path) : path_(path) {}

  Ids ids;

  void null() override { refuse("null"); }
  void boolean(bool) override { refuse("true or false"); }
  void negative(int64_t value) override { refuse(std::to_string(value)); }
  void real(double, const std::string& written) override { refuse(written); }
  void text(std::string&) override { refuse("a text"); }
  void begin_array() override { refuse("an array"); }
  void end_array() override {}
  void begin_object() override {
    if (std::exchange(open_, true)) refuse("an object");
  }
  void end_object() override {}
  void key(std::string& name) override { key_ = name; }
  void count(uint64_t id) override {
    if (!open_ || id > INT32_MAX) refuse(std::to_string(id));
    check(ids.emplace(key_, static_cast<int32_t>(id)).second, "[tokenizer] damaged '{}': token '{}' stands twice",
          path_, key_);
  }
  void broken(size_t byte, const char*) override {
    fail("[tokenizer] damaged '{}': it is not JSON at byte {}", path_, byte);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    fail("[tokenizer] damaged '{}': got {} for '{}', expected a JSON object of token: id", path_, what, key_);
  }

  std::string path_, key_;
  bool open_ = false;
};

Ids read_ids(const std::string& path, const std::string& text) {
  IdReader reader(path);
  read_json(text, reader);
  check(!reader.ids.empty(), "[tokenizer] damaged '{}': expected a JSON object of token: id", path);
  std::vector<bool> taken(reader.ids.size());
  for (const auto& [symbol, id] : reader.ids) {
    const bool fits = static_cast<size_t>(id) < taken.size() && !taken[static_cast<size_t>(id)];
    check(fits, "[tokenizer] damaged '{}': token '{}' has id {}, expected each of 0 to {} once", path, symbol, id,
          taken.size() - 1);
    taken[static_cast<size_t>(id)] = true;
  }
  return std::move(reader.ids);
}

std::vector<Merge> read_merges(const std::string& path, std::string_view text, const Ids& ids) {
  std::vector<Merge> merges;
  for (int line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty() || (line == 1 && row.starts_with("#version"))) continue;

    const size_t space = row.find(' ');
    check(space != row.npos && row.find(' ', space + 1) == row.npos,
          "[tokenizer] damaged '{}', line {}: got '{}', expected two symbols", path, line, row);
    const std::string left(row.substr(0, space)), right(row.substr(space + 1));
    const auto id_of = [&](const std::string& symbol) {
      const auto found = ids.find(symbol);
      check(found != ids.end(), "[tokenizer] '{}', line {}: the token '{}' is not in encoder.json beside it", path,
            line, symbol);
      return found->second;
    };
    merges.push_back({id_of(left), id_of(right), static_cast<int32_t>(merges.size()), id_of(left + right)});
  }
  return merges;
}

}  // namespace

BpeFiles read_bpe_files(const std::string& folder) {
  const std::filesystem::path base(folder);
  const std::string encoder_path = base / "encoder.json", merges_path = base / "vocab.bpe";
  const std::string encoder = read_text(encoder_path), merges = read_text(merges_path);
  const Ids ids = read_ids(encoder_path, encoder);
  const std::array<char32_t, 256> alphabet = byte_alphabet();

  BpeFiles files;
  files.merges = read_merges(merges_path, merges, ids);
  files.bytes_of.resize(ids.size());
  for (const auto& [symbol, id] : ids) files.bytes_of[id] = unescape(symbol, alphabet, encoder_path);
  for (int b = 0; b < 256; ++b) {
    std::string symbol;
    append_utf8(symbol, alphabet[b]);
    const auto found = ids.find(symbol);
    check(found != ids.end(), "[tokenizer] damaged '{}': no token for the byte {}", encoder_path, b);
    files.id_of_byte[b] = found->second;
  }
  const auto add = [](uLong sum, const std::string& bytes) {
    return crc32_z(sum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  };
  files.checksum = static_cast<uint32_t>(add(add(0, encoder), merges));
  return files;
}

}  // namespace gestalt
