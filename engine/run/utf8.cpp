// Decoding by The Unicode Standard's table of well-formed byte sequences.
#include "engine/run/utf8.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>

namespace gestalt {
namespace {

constexpr char32_t replacement = 0xfffd;
// The last 128 code points, for private use, stand for the bytes 0x80 to 0xff.
constexpr char32_t byte_base = 0x10ff00, first_byte = byte_base + 0x80;

// The length of the ASCII run at the start of `text`.
size_t ascii_prefix(std::string_view text) {
  size_t n = 0;
  for (uint64_t word; n + 8 <= text.size(); n += 8) {
    std::memcpy(&word, text.data() + n, 8);
    if (word & 0x8080808080808080u) break;
  }
  while (n < text.size() && static_cast<uint8_t>(text[n]) < 0x80) ++n;
  return n;
}

}  // namespace

CodePoint first_code_point(std::string_view text) {
  const uint8_t lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const int length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return {replacement, 1, false};
  // The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF.
  uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  char32_t value = lead & (0x7f >> length);
  for (int i = 1; i < length; ++i) {
    const uint8_t byte = static_cast<size_t>(i) < text.size() ? static_cast<uint8_t>(text[i]) : 0;
    if (byte < low || byte > high) return {replacement, i, false};
    value = (value << 6) | (byte & 0x3f);
    low = 0x80;
    high = 0xbf;
  }
  return {value, length};
}

void append_utf8(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | (c >> 6));
  } else {
    if (c < 0x10000) {
      put(0xe0 | (c >> 12));
    } else {
      put(0xf0 | (c >> 18));
      put(0x80 | ((c >> 12) & 0x3f));
    }
    put(0x80 | ((c >> 6) & 0x3f));
  }
  put(0x80 | (c & 0x3f));
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    text.remove_prefix(ascii_prefix(text));
    if (text.empty()) break;
    const CodePoint c = first_code_point(text);
    if (!c.valid) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

std::string repair_utf8(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size());
  while (!text.empty()) {
    const size_t ascii = ascii_prefix(text);
    repaired += text.substr(0, ascii);
    text.remove_prefix(ascii);
    if (text.empty()) break;
    const CodePoint c = first_code_point(text);
    append_utf8(repaired, c.value);
    text.remove_prefix(c.bytes);
  }
  return repaired;
}

std::string utf8_from_bytes(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const CodePoint c = first_code_point(bytes);
    const bool stays = c.valid && c.value < first_byte;
    if (stays) text += bytes.substr(0, static_cast<size_t>(c.bytes));
    for (int i = 0; i < c.bytes && !stays; ++i) append_utf8(text, byte_base + static_cast<uint8_t>(bytes[i]));
    bytes.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return text;
}

std::string bytes_from_utf8(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    if (c.valid && c.value >= first_byte)
      bytes += static_cast<char>(c.value - byte_base);
    else
      bytes += text.substr(0, static_cast<size_t>(c.bytes));
    text.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return bytes;
}

std::string describe(char32_t code_point) {
  const bool shown = code_point > 0x20 && code_point != 0x7f;
  std::string text;
  append_utf8(text, code_point);
  return shown ? fmt::format("'{}' (U+{:04X})", text, static_cast<uint32_t>(code_point))
               : fmt::format("U+{:04X}", static_cast<uint32_t>(code_point));
}

}  // namespace gestalt
