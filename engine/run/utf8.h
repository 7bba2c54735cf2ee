// UTF-8: code points, the repair of bytes that are none, and text that stands for any bytes.
#pragma once

#include <string>
#include <string_view>

namespace gestalt {

struct CodePoint {
  char32_t value;
  int bytes;          // how many bytes of the text it stands for
  bool valid = true;  // false: ill-formed bytes, which `value` U+FFFD replaces
};

// The code point at the start of `text`, which is not empty. Ill-formed bytes are replaced one maximal subpart at a
// time, as Python's errors="replace" does (The Unicode Standard, section 3.9, table 3-7).
CodePoint first_code_point(std::string_view text);

void append_utf8(std::string& text, char32_t code_point);

bool is_utf8(std::string_view text);

// `text` with U+FFFD in the place of ill-formed bytes.
std::string repair_utf8(std::string_view text);

// Bytes of any kind, such as the name of a file, as UTF-8 that bytes_from_utf8() turns back: what is ill-formed becomes
// U+10FF00 plus the byte, one at a time. Well-formed text stays as it is, but for those code points themselves.
std::string utf8_from_bytes(std::string_view bytes);
std::string bytes_from_utf8(std::string_view text);

// "'é' (U+00E9)", for messages.
std::string describe(char32_t code_point);

}  // namespace gestalt
