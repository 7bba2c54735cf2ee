// encoder.json and vocab.bpe, checked against each other.
#include "engine/data/text/bpe_files.h"

#include <zlib.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "engine/run/files.h"
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
class IdReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit IdReader(const std::string& path) : path_(path) {}

  Ids ids;

  bool null() override { refuse("null"); }
  bool boolean(bool) override { refuse("true or false"); }
  bool number_integer(number_integer_t value) override { refuse(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { refuse(text); }
  bool string(string_t&) override { refuse("a text"); }
  bool binary(binary_t&) override { refuse("binary data"); }
  bool start_array(std::size_t) override { refuse("an array"); }
  bool end_array() override { return true; }
  bool start_object(std::size_t) override {
    if (std::exchange(open_, true)) refuse("an object");
    return true;
  }
  bool end_object() override { return true; }
  bool key(string_t& text) override {
    key_ = text;
    return true;
  }
  bool number_unsigned(number_unsigned_t id) override {
    if (!open_ || id > INT32_MAX) refuse(std::to_string(id));
    check(ids.emplace(key_, static_cast<int32_t>(id)).second, "[tokenizer] damaged '{}': token '{}' stands twice",
          path_, key_);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("[tokenizer] damaged '{}': it is not JSON at byte {}", path_, position);
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
  nlohmann::json::sax_parse(text, &reader);
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
