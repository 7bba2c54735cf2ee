// Messages of protocol buffers, written field after field (https://protobuf.dev/programming-guides/encoding).
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gestalt {

static_assert(std::endian::native == std::endian::little, "protocol buffers are little-endian");

class Message {
 public:
  Message& integer(int field, uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& real(int field, double value) { return fixed(field, 1, value); }
  Message& real32(int field, float value) { return fixed(field, 5, value); }
  Message& bytes(int field, std::string_view value) {
    begin(field, value.size());
    text_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.text_); }
  Message& reals(int field, const std::vector<double>& values) {
    return bytes(field, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)});
  }
  // The key and the length of bytes that the caller writes after this message.
  Message& begin(int field, uint64_t length) {
    key(field, 2);
    varint(length);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void key(int field, int kind) { varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(kind)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  template <class T>
  Message& fixed(int field, int kind, T value) {
    key(field, kind);
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }

  std::string text_;
};

}  // namespace gestalt
